/* Puts the memory of this process back to what it was. x86-64 Linux, glibc.
 *
 * All that a program can reach is copied aside once, into the shadow. To restore is to cut off
 * what has grown since, and to copy back what may have changed. At first every page is compared
 * with its copy, and those that differ are called hot. Once armed, the others are write-protected:
 * a write to one makes it hot, and only hot pages are copied. Now and then it is looked which of
 * those still change; the rest are guarded again. Some of them are written to by every program that
 * leaves them as they were, a count of references up and down again: those stay hot.
 *
 * Memory that nobody uses yet is neither copied nor guarded: the end of the heap, the end of the
 * newest arena, the stack below the saved pointer. Programs' objects live there, so the kernel
 * can always write into a buffer of theirs.
 *
 * While memory is put back, libc's own is too, and so is the stack that C runs on. So nothing of
 * libc is called from the first copy on, and it all runs on a stack of its own.
 */
#define _GNU_SOURCE
#include "snapshot.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "abi.h"
#include "descriptors.h"
#include "kernel.h"

enum {
  PAGE = 4096,
  REGIONS_MAX = 256,
  SMALL_REGION_BYTES = 64 << 10, /* not worth guarding */
  STACK_BYTES = 64 << 10,
  STACK_GROWN_BYTES = 7 << 20, /* of the 8 MiB that a stack usually has */
  STACK_KEPT_BYTES = 64 << 10, /* below the saved pointer, for what a zygote calls */
  MAPS_BYTES = 256 << 10,
  ARENA_BYTES = 1 << 20,
  BLOCKS_KEPT = 64,
  HEAP_PAD_BYTES = 4 << 20,
  LOOK_EVERY_RUNS = 512,
  LOOK_RUNS = 8,
  SOON_RUNS = 16,
  REGISTERS = 8,
};
static const unsigned long SHADOW_BYTES = 64UL << 20;
static const unsigned long ARENAS_BYTES = 16UL << 30; /* of addresses */

struct Region {
  char *start;
  unsigned long bytes;
  char *copy;
  unsigned long first_page; /* of the copy, in the shadow */
  int whole;                /* copied back as a whole, never guarded */
};
struct Piece {
  char *start, *copy;
  unsigned long bytes;
};
struct Span {
  unsigned long start, end;
};

struct Snapshot {
  unsigned long registers[REGISTERS];
  struct Region regions[REGIONS_MAX];
  struct Span unused[4]; /* neither copied nor guarded */
  int regions_n, unused_n, pieces_n, armed, until_look;
  int watched; /* the filter tells of calls that may leave something behind */
  volatile int left; /* there was one in this run */
  char *shadow, *end;
  unsigned long used_bytes, checksum, mapped_pages;
  char *saved_break, *saved_arenas;
  unsigned char hot[(64 << 20) / PAGE], changed[(64 << 20) / PAGE];
  unsigned char steady[(64 << 20) / PAGE]; /* hot for good: to guard it again was in vain */
  struct Piece pieces[(64 << 20) / PAGE];
  char maps[MAPS_BYTES];
  char buffer[SNAPSHOT_BUFFER_BYTES] __attribute__((aligned(SNAPSHOT_BUFFER_BYTES)));
  char fault_stack[STACK_BYTES] __attribute__((aligned(16)));
  char stack[STACK_BYTES] __attribute__((aligned(16)));
};

/* These lie in memory that is put back, and do not change after it was taken. */
static struct Snapshot *snapshot;

/* Python's arenas, and the pieces of its own stack, one above the other. What is put back resets
   these variables with everything else. */
static char *arena_next, *arena_newest;
static struct Span blocks_free[BLOCKS_KEPT];
static int blocks_free_n;

static void *arena_alloc(void *context, size_t bytes) {
  (void)context;
  for (int i = blocks_free_n - 1; i >= 0; i--) {
    struct Span block = blocks_free[i];
    if (block.end - block.start != bytes) continue;
    blocks_free[i] = blocks_free[--blocks_free_n];
    return (void *)block.start;
  }
  char *at = (char *)OWN_CALL(SYS_mmap, (long)arena_next, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if ((unsigned long)at > -(unsigned long)PAGE) return NULL; /* an error number */
  if (bytes == ARENA_BYTES) arena_newest = at;
  arena_next += bytes;
  return at;
}

static void arena_free(void *context, void *at, size_t bytes) {
  (void)context;
  /* Unmapping would change what is mapped; what is not kept is lost until memory is put back. */
  if (blocks_free_n < BLOCKS_KEPT)
    blocks_free[blocks_free_n++] = (struct Span){(unsigned long)at, (unsigned long)at + bytes};
}

void snapshot_own_memory(void) {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, HEAP_PAD_BYTES);
  mallopt(M_ARENA_MAX, 1);
  const unsigned long alignment = 2UL << 20;
  char *free_addresses = mmap(NULL, ARENAS_BYTES, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (free_addresses == MAP_FAILED) return; /* and Python keeps its own arenas: seen as growth */
  munmap(free_addresses, ARENAS_BYTES);
  arena_next = (char *)(((unsigned long)free_addresses + alignment - 1) & ~(alignment - 1));
  PyObjectArenaAllocator ours = {NULL, arena_alloc, arena_free};
  PyObject_SetArenaAllocator(&ours);
}

unsigned long snapshot_newest_arena(void) { return (unsigned long)arena_newest; }

static unsigned long heap_top(void) {
  struct mallinfo2 heap = mallinfo2();
  return (unsigned long)sbrk(0) - heap.keepcost;
}

void snapshot_fill_heap(void) {
  unsigned long top = heap_top();
  for (unsigned long bytes = 1 << 20; bytes >= 24; bytes -= bytes > 2048 ? bytes / 8 : 16) {
    char *block;
    while ((block = malloc(bytes)) != NULL && (unsigned long)block < top) continue;
    if (bytes > 2048) free(block); /* back into the top; small ones would lie in a cache */
  }
  free(malloc(HEAP_PAD_BYTES / 2)); /* room at the end, for most runs enough */
}

void *snapshot_open(unsigned long state_bytes) {
  unsigned long bytes = SHADOW_BYTES + sizeof(struct Snapshot) + state_bytes;
  char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return NULL;
  snapshot = (struct Snapshot *)(at + SHADOW_BYTES);
  snapshot->shadow = at;
  snapshot->end = at + ((bytes + PAGE - 1) & ~(PAGE - 1UL));
  /* The stack grows now and not in a run, where it would count as left behind. */
  volatile char *low = (char *)__builtin_frame_address(0) - STACK_GROWN_BYTES;
  *low = 0;
  return at + SHADOW_BYTES + sizeof(struct Snapshot);
}

/* Registers that a call keeps, the stack pointer, where to go on, and both rounding modes. */
__asm__(".text\n.globl snapshot_save\nsnapshot_save:\n"
        "mov %rbx,0(%rdi)\nmov %rbp,8(%rdi)\nmov %r12,16(%rdi)\nmov %r13,24(%rdi)\n"
        "mov %r14,32(%rdi)\nmov %r15,40(%rdi)\nlea 8(%rsp),%rax\nmov %rax,48(%rdi)\n"
        "mov (%rsp),%rax\nmov %rax,56(%rdi)\nxor %eax,%eax\nret\n"
        "snapshot_jump:\n"
        "fninit\npush $0x1f80\nldmxcsr (%rsp)\ncld\n"
        "mov 0(%rdi),%rbx\nmov 8(%rdi),%rbp\nmov 16(%rdi),%r12\nmov 24(%rdi),%r13\n"
        "mov 32(%rdi),%r14\nmov 40(%rdi),%r15\nmov 48(%rdi),%rsp\nmov $1,%eax\njmp *56(%rdi)\n"
        "snapshot_switch:\nmov %rdi,%rsp\ncall *%rsi\nhlt\n"
        ".globl snapshot_call\nsnapshot_call:\n"
        "mov %rdi,%rax\nmov %rsi,%r11\nmov 0(%r11),%rdi\nmov 8(%r11),%rsi\nmov 16(%r11),%rdx\n"
        "mov 24(%r11),%r10\nmov 32(%r11),%r8\nmov 40(%r11),%r9\nsyscall\n"
        ".globl snapshot_called\nsnapshot_called:\nret\n");
void snapshot_jump(unsigned long *registers) __attribute__((noreturn, visibility("hidden")));
void snapshot_switch(void *stack, void (*next)(void))
    __attribute__((noreturn, visibility("hidden")));

char *snapshot_buffer(void) { return snapshot->buffer; }

unsigned long *snapshot_registers(void) { return snapshot->registers; }

static inline void copy_words(void *to, const void *from, unsigned long bytes) {
  unsigned long words = bytes / 8;
  __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words)::"memory");
}

static int differs(const char *page, const char *copy) {
  const uint64_t *a = (const void *)page, *b = (const void *)copy;
  uint64_t difference = 0;
  for (int i = 0; i < PAGE / 8; i++) difference |= a[i] ^ b[i];
  return difference != 0;
}

static unsigned long mapped_pages(void) {
  char *text = snapshot->buffer;
  unsigned long pages = 0;
  long got = KERNEL(SYS_pread64, STATM_FD, (long)text, SNAPSHOT_BUFFER_BYTES, 0);
  for (long i = 0; i < got && text[i] >= '0' && text[i] <= '9'; i++)
    pages = pages * 10 + (text[i] - '0');
  return pages;
}

static void cut_off_growth(void) {
  struct Snapshot *s = snapshot;
  if ((char *)sbrk(0) != s->saved_break) OWN_CALL(SYS_brk, (long)s->saved_break);
  if (arena_next != s->saved_arenas)
    OWN_CALL(SYS_munmap, (long)s->saved_arenas, arena_next - s->saved_arenas);
  if (s->watched && !s->left) return;
  s->left = 0;
  if (s->watched) KERNEL(SYS_close_range, FIRST_FREE_FD, LAST_FD, 0);
  if (mapped_pages() != s->mapped_pages) leave(EXIT_LEFT_BEHIND);
}

static void compare_and_copy(const struct Region *region) {
  struct Snapshot *s = snapshot;
  for (unsigned long page = 0; page < region->bytes / PAGE; page++) {
    char *start = region->start + page * PAGE;
    const char *copy = region->copy + page * PAGE;
    if (!differs(start, copy)) continue;
    s->hot[region->first_page + page] = 1;
    copy_words(start, copy, PAGE);
  }
}

static void add_piece(char *start, char *copy, unsigned long bytes) {
  snapshot->pieces[snapshot->pieces_n++] = (struct Piece){start, copy, bytes};
}

/* Where pages from `page` on end that are all as hot as it is. */
static unsigned long same_until(const struct Region *region, unsigned long page) {
  const unsigned char *hot = snapshot->hot + region->first_page;
  unsigned long pages = region->bytes / PAGE, next = page + 1;
  while (next < pages && hot[next] == hot[page]) next++;
  return next;
}

static void list_pieces(void) {
  struct Snapshot *s = snapshot;
  s->pieces_n = 0;
  for (int i = 0; i < s->regions_n; i++) {
    struct Region *region = &s->regions[i];
    if (region->whole) add_piece(region->start, region->copy, region->bytes);
    if (region->whole || !s->armed) continue;
    for (unsigned long page = 0, next; page < region->bytes / PAGE; page = next) {
      next = same_until(region, page);
      if (s->hot[region->first_page + page])
        add_piece(region->start + page * PAGE, region->copy + page * PAGE, (next - page) * PAGE);
    }
  }
}

static void look_at_hot(const struct Region *region) {
  struct Snapshot *s = snapshot;
  for (unsigned long page = 0; page < region->bytes / PAGE; page++) {
    unsigned long at = region->first_page + page;
    if (s->hot[at] && !s->changed[at])
      s->changed[at] = s->steady[at] || differs(region->start + page * PAGE, region->copy + page * PAGE);
  }
}

/* Guard hot pages again that some runs in a row have left alone: to copy them for ever costs more
   than to notice when one changes again. */
static void cool(const struct Region *region) {
  struct Snapshot *s = snapshot;
  unsigned char *hot = s->hot + region->first_page, *changed = s->changed + region->first_page;
  unsigned long pages = region->bytes / PAGE, end;
  for (unsigned long page = 0; page < pages; page++) /* one alone is cheaper to copy */
    changed[page] |= page > 0 && page + 1 < pages && changed[page - 1] && changed[page + 1];
  for (unsigned long page = 0; page < pages; page = end) {
    for (end = page; end < pages && hot[end] && !changed[end]; end++) hot[end] = 0;
    if (end > page)
      KERNEL(SYS_mprotect, (long)(region->start + page * PAGE), (end - page) * PAGE, PROT_READ);
    else
      end++;
  }
  for (unsigned long page = 0; page < pages; page++) changed[page] = 0;
}

/* Nothing is guarded yet: those that have not changed so far are to be. */
static void cool_at_first(const struct Region *region) {
  unsigned char *hot = snapshot->hot + region->first_page;
  for (unsigned long page = 0; page < region->bytes / PAGE; page++) {
    snapshot->changed[region->first_page + page] = hot[page];
    hot[page] = 1;
  }
  cool(region);
}

static void for_each_guarded(void (*visit)(const struct Region *)) {
  for (int i = 0; i < snapshot->regions_n; i++)
    if (!snapshot->regions[i].whole) visit(&snapshot->regions[i]);
}

static void put_back(void) {
  struct Snapshot *s = snapshot;
  cut_off_growth();
  int looks = s->armed && --s->until_look < LOOK_RUNS;
  if (looks) for_each_guarded(look_at_hot);
  for (int i = 0; i < s->pieces_n; i++)
    copy_words(s->pieces[i].start, s->pieces[i].copy, s->pieces[i].bytes);
  if (!s->armed) for_each_guarded(compare_and_copy);
  if (looks && s->until_look == 0) {
    for_each_guarded(cool);
    list_pieces();
    s->until_look = LOOK_EVERY_RUNS;
  }
  snapshot_jump(s->registers);
}

void snapshot_watch_calls(void) { snapshot->watched = 1; }

void snapshot_restore(void) {
  snapshot_switch(snapshot->stack + STACK_BYTES - 64, put_back);
}

static int holds(const struct Region *region, const void *address) {
  return (const char *)address >= region->start && (const char *)address < region->start + region->bytes;
}

void snapshot_forget(const void *needed) {
  struct Snapshot *s = snapshot;
  for (int i = 0; i < s->regions_n; i++) {
    struct Region *region = &s->regions[i];
    if (region->whole || holds(region, needed) || holds(region, &snapshot)) continue;
    KERNEL(SYS_madvise, (long)region->start, region->bytes, MADV_DONTNEED);
  }
  for (int i = 1; i < s->unused_n; i++) /* the first is the copy itself */
    KERNEL(SYS_madvise, s->unused[i].start, s->unused[i].end - s->unused[i].start, MADV_DONTNEED);
}

/* Every page is written to. What was forgotten comes back, and nothing is shared with the parent any
   more: gVisor loses the guard of such pages, because when a neighbour is written to, they are copied
   with it and become writable. */
static void remember(void) {
  for (int i = 0; i < snapshot->regions_n; i++) {
    struct Region *region = &snapshot->regions[i];
    if (!region->whole) copy_words(region->start, region->copy, region->bytes);
    for (unsigned long at = 0; region->whole && at < region->bytes; at += PAGE) {
      volatile char *byte = region->start + at;
      *byte = *byte;
    }
  }
}

void snapshot_arm(void) {
  struct Snapshot *s = snapshot;
  remember();
  for_each_guarded(cool_at_first);
  s->armed = 1;
  s->until_look = 2 * LOOK_RUNS; /* lessons are not what programs are like */
  list_pieces();
}

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  struct Snapshot *s = snapshot;
  char *at = info->si_addr;
  for (int i = 0; s->armed && i < s->regions_n; i++) {
    struct Region *region = &s->regions[i];
    if (region->whole || at < region->start || at >= region->start + region->bytes) continue;
    unsigned long page = (at - region->start) / PAGE;
    if (s->hot[region->first_page + page]) break;
    s->hot[region->first_page + page] = 1;
    s->steady[region->first_page + page] = s->until_look > LOOK_EVERY_RUNS - SOON_RUNS;
    KERNEL(SYS_mprotect, (long)(region->start + page * PAGE), PAGE, PROT_READ | PROT_WRITE);
    list_pieces();
    return;
  }
  leave(EXIT_FAULT);
}

/* A call that the filter does not know as harmless. What it did is looked for after the run; most
   runs make none, and are spared the looking, which takes as long as the run itself. */
static void on_call(int number, siginfo_t *info, void *context) {
  (void)number;
  greg_t *with = ((ucontext_t *)context)->uc_mcontext.gregs;
  snapshot->left = 1;
  with[REG_RAX] = OWN_CALL(info->si_syscall, with[REG_RDI], with[REG_RSI], with[REG_RDX],
                           with[REG_R10], with[REG_R8], with[REG_R9]);
}

static void add_unused(unsigned long start, unsigned long end) {
  start = (start + PAGE - 1) & ~(PAGE - 1UL);
  if (start < end) snapshot->unused[snapshot->unused_n++] = (struct Span){start, end};
}

static void find_unused(void) {
  struct Snapshot *s = snapshot;
  s->unused_n = 0;
  add_unused((unsigned long)s->shadow, (unsigned long)s->end);
  add_unused(heap_top() + 64, (unsigned long)sbrk(0)); /* its head belongs to malloc */
  char *end = arena_newest + ARENA_BYTES;
  while (end > arena_newest && ((uint64_t *)end)[-1] == 0) end -= 8;
  if (arena_newest != NULL) add_unused((unsigned long)end, (unsigned long)(arena_newest + ARENA_BYTES));
}

static int add_region(unsigned long start, unsigned long end, int whole) {
  struct Snapshot *s = snapshot;
  for (int i = 0; i < s->unused_n; i++) {
    struct Span hole = s->unused[i];
    if (hole.start >= end || hole.end <= start) continue;
    if (hole.start > start && add_region(start, hole.start, whole) < 0) return -1;
    return hole.end < end ? add_region(hole.end, end, whole) : 0;
  }
  unsigned long bytes = end - start, room = (bytes + PAGE - 1) & ~(PAGE - 1UL);
  if (s->regions_n == REGIONS_MAX || s->used_bytes + room > SHADOW_BYTES) return -1;
  s->regions[s->regions_n++] =
      (struct Region){(char *)start, bytes, s->shadow + s->used_bytes, s->used_bytes / PAGE,
                      whole || bytes < SMALL_REGION_BYTES};
  s->used_bytes += room;
  return 0;
}

static unsigned long hexadecimal(char **at) {
  unsigned long value = 0;
  for (;; (*at)++) {
    char c = **at;
    if (c >= '0' && c <= '9')
      value = value * 16 + (c - '0');
    else if (c >= 'a' && c <= 'f')
      value = value * 16 + (c - 'a' + 10);
    else
      return value;
  }
}

/* All private writable mappings that proc_pid_maps(5) lists, but what is unused. */
static int find_regions(int proc_fd) {
  struct Snapshot *s = snapshot;
  unsigned long stack_pointer = s->registers[6] - 128;
  long size = 0, got;
  int fd = openat(proc_fd, "self/maps", O_RDONLY | O_CLOEXEC);
  while ((got = read(fd, s->maps + size, MAPS_BYTES - 1 - size)) > 0) size += got;
  close(fd);
  s->maps[size > 0 ? size : 0] = 0;
  for (char *line = s->maps, *next; (next = strchr(line, '\n')) != NULL; line = next + 1) {
    char *at = line;
    unsigned long start = hexadecimal(&at);
    at++;
    unsigned long end = hexadecimal(&at);
    if (at[1] != 'r' || at[2] != 'w' || at[4] != 'p') continue;
    int stack = stack_pointer >= start && stack_pointer < end;
    if (add_region(stack ? stack_pointer & ~15UL : start, end, stack) < 0) return -1;
    if (stack) add_unused(start, stack_pointer - STACK_KEPT_BYTES);
  }
  return s->regions_n > 0 ? 0 : -1;
}

/* Of whole pages. Four sums, because each step of one waits for the step before. */
static unsigned long sum_pages(const char *start, unsigned long bytes) {
  const unsigned long factor = 0x9E3779B97F4A7C15UL;
  unsigned long a = 1, b = 2, c = 3, d = 4;
  for (const uint64_t *words = (const void *)start; (const char *)words < start + bytes; words += 4) {
    a = (a ^ words[0]) * factor + 1;
    b = (b ^ words[1]) * factor + 1;
    c = (c ^ words[2]) * factor + 1;
    d = (d ^ words[3]) * factor + 1;
  }
  return ((a * factor ^ b) * factor ^ c) * factor ^ d;
}

static int catch_faults(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  struct sigaction calls = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  stack_t stack = {.ss_sp = snapshot->fault_stack, .ss_size = STACK_BYTES};
  return sigaltstack(&stack, NULL) < 0 || sigaction(SIGSEGV, &action, NULL) < 0 ||
                 sigaction(SIGSYS, &calls, NULL) < 0
             ? -1
             : 0;
}

int snapshot_take(int proc_fd) {
  struct Snapshot *s = snapshot;
  if (catch_faults() < 0) return -1;
  find_unused();
  if (find_regions(proc_fd) < 0) return -1;
  s->saved_break = sbrk(0);
  s->saved_arenas = arena_next;
  s->mapped_pages = mapped_pages();
  list_pieces();
  /* No call from here on: each word is copied as it shall be found. */
  for (int i = 0; i < s->regions_n; i++)
    copy_words(s->regions[i].copy, s->regions[i].start, s->regions[i].bytes);
  s->checksum = sum_pages(s->shadow, s->used_bytes);
  KERNEL(SYS_mprotect, (long)s->shadow, s->used_bytes, PROT_READ);
  /* Nobody has written to the rest, but gVisor would copy up to 2 MiB of it along with its end. */
  KERNEL(SYS_madvise, (long)s->shadow + s->used_bytes, SHADOW_BYTES - s->used_bytes, MADV_DONTNEED);
  return 0;
}

int snapshot_intact(void) {
  struct Snapshot *s = snapshot;
  for (int i = 0; i < s->regions_n; i++) {
    struct Region *region = &s->regions[i];
    for (unsigned long page = 0; !region->whole && page < region->bytes / PAGE; page++)
      if (!s->hot[region->first_page + page] &&
          differs(region->start + page * PAGE, region->copy + page * PAGE))
        return 0;
  }
  return sum_pages(s->shadow, s->used_bytes) == s->checksum;
}

unsigned long snapshot_grown_bytes(void) {
  struct Snapshot *s = snapshot;
  return ((char *)sbrk(0) - s->saved_break) + (arena_next - s->saved_arenas);
}

unsigned long snapshot_mapped_bytes(void) { return snapshot->mapped_pages * PAGE; }
