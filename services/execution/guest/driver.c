/* The loop of mode `reset`: a zygote that forks workers, and workers that run order after order.
 *
 * Above a program there is no loop of Python's that it could reach: this loop is C, and it takes
 * its orders from memory that it shares with the supervisor. After each order all memory but that
 * is put back (snapshot.c).
 *
 * The zygote runs a few orders of our own, to learn which pages change, and then obeys its
 * supervisor: fork a worker, kill a worker, tell how one ended. A worker starts as an exact copy of
 * it, locks itself in, and works until it is killed.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "abi.h"
#include "descriptors.h"
#include "kernel.h"
#include "snapshot.h"

enum {
  AREA_BYTES = 8 << 20,
  ORDERS_MAX = 32,
  SLOTS_MAX = 32,
  FILTER_MAX = 512,
  OPEN_FILES_MAX = 32,
  CHECK_RUNS_MAX = 256, /* between two looks at all memory, which take milliseconds; fewer at first */
  CLOCKED_NS = 10000000,
  /* Descriptors of the zygote, as workers.py has laid them out. */
  NULL_FD = 64,
  COMMANDS_FD = 65,
  REPORTS_FD = 66,
  PROC_FD = 67,  /* root of procfs */
  SLOTS_FD = 70, /* three each: orders, done, area */
};

/* Stand in the filter for halves of an address, see seccomp.py. */
enum { BUFFER_HIGH = 0x5A4C0001, BUFFER_LOW, BUFFER_END, CALLED_HIGH, CALLED_LOW };

/* The shared area; workers.py knows this layout as well. */
struct Order {
  uint32_t source_at, source_bytes, arguments_bytes, stdout_bytes, value_bytes, answer_max;
  uint32_t unused[2];
};
struct Answer {
  uint64_t at, bytes, wall_ns, cpu_ns, memory_bytes;
};
struct Area {
  uint64_t count, begun, finished, answers_end, unused[4];
  struct Order orders[ORDERS_MAX];
  struct Answer answers[ORDERS_MAX];
};
struct Command {
  uint8_t kind, slot; /* 'F' fork, 'K' kill */
  uint16_t unused;
  uint32_t uid; /* ~0: stay who you are */
  uint64_t memory_bytes;
};
struct Report {
  uint8_t kind, slot; /* 'A' ready, 'P' forked, 'X' ended, 'E' failed */
  uint16_t unused;
  uint32_t pid;
  int32_t status; /* of wait4, or an error number */
  uint32_t padding;
};

/* Not put back. */
struct Driver {
  volatile struct Area *area;
  PyObject *call;
  int zygote, worked;
  unsigned long runs, check_at, resident_bytes, base_bytes;
  unsigned long clock_ns, charged_ns; /* the last look at our clock, and what was charged since */
  int pids[SLOTS_MAX];
  struct sock_filter filter[FILTER_MAX];
  unsigned short filter_n;
};
static struct Driver *driver;

static void report(char kind, int slot, long pid, long status) {
  struct Report r = {kind, slot, 0, pid, status, 0};
  KERNEL(SYS_write, REPORTS_FD, (long)&r, sizeof r);
}

static long limit(int resource, unsigned long value) {
  unsigned long both[2] = {value, value};
  return KERNEL(SYS_prlimit64, 0, resource, (long)both, 0);
}

static long become(long uid) {
  if ((uint32_t)uid == ~0U) return 0;
  return KERNEL(SYS_setgroups, 0, 0) | KERNEL(SYS_setresgid, uid, uid, uid) |
         KERNEL(SYS_setresuid, uid, uid, uid);
}

static long take_descriptors(int slot) {
  int orders = SLOTS_FD + 3 * slot;
  long at = KERNEL(SYS_mmap, (long)driver->area, AREA_BYTES, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_FIXED, orders + 2, 0);
  if (at != (long)driver->area) return -1;
  long statm = KERNEL(SYS_openat, PROC_FD, (long)"self/statm", O_RDONLY, 0);
  long failed = statm < 0 || KERNEL(SYS_dup2, statm, STATM_FD) < 0 ||
                KERNEL(SYS_dup2, orders, ORDERS_FD) < 0 ||
                KERNEL(SYS_dup2, orders + 1, DONE_FD) < 0;
  return failed ? -1 : KERNEL(SYS_close_range, FIRST_FREE_FD, LAST_FD, 0);
}

/* The filter lets us alone read and write on our descriptors: who we are, our buffer tells. And it
   tells us of calls that may leave something behind, but not of our own. */
static void fill_in_addresses(struct sock_filter *filter, int instructions) {
  unsigned long at = (unsigned long)snapshot_buffer(), called = (unsigned long)snapshot_called;
  for (int i = 0; i < instructions; i++) {
    if (filter[i].k == BUFFER_HIGH) filter[i].k = at >> 32;
    if (filter[i].k == BUFFER_LOW) filter[i].k = at;
    if (filter[i].k == BUFFER_END) filter[i].k = at + SNAPSHOT_BUFFER_BYTES;
    if (filter[i].k == CALLED_HIGH) filter[i].k = called >> 32;
    if (filter[i].k == CALLED_LOW) filter[i].k = called;
  }
}

/* What guard.c does for `strict`, without libc, and with the filter of this mode. */
static void lock_in(const struct Command *order) {
  struct sock_fprog rules = {driver->filter_n, driver->filter};
  unsigned long ours = snapshot_mapped_bytes() - driver->base_bytes;
  long failed = take_descriptors(order->slot) | limit(RLIMIT_CORE, 0) | limit(RLIMIT_FSIZE, 0) |
                limit(RLIMIT_NOFILE, OPEN_FILES_MAX) |
                limit(RLIMIT_AS, order->memory_bytes + ours) | become(order->uid) |
                KERNEL(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL) |
                KERNEL(SYS_prctl, PR_SET_DUMPABLE, 0) |
                KERNEL(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1) |
                KERNEL(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (long)&rules);
  if (failed) leave(EXIT_SETUP);
  snapshot_watch_calls();
  snapshot_arm();
  driver->zygote = driver->worked = 0;
}

static void reap(void) {
  int status;
  long pid;
  while ((pid = KERNEL(SYS_wait4, -1, (long)&status, WNOHANG, 0)) > 0)
    for (int slot = 0; slot < SLOTS_MAX; slot++)
      if (driver->pids[slot] == pid) {
        driver->pids[slot] = 0;
        report('X', slot, pid, status);
      }
}

static void obey(const struct Command *order) {
  if (order->kind == 'K' && driver->pids[order->slot] > 0)
    KERNEL(SYS_kill, driver->pids[order->slot], SIGKILL);
  if (order->kind != 'F') return;
  long pid = KERNEL(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) {
    lock_in(order);
  } else if (pid < 0) {
    report('E', order->slot, 0, -pid);
  } else {
    driver->pids[order->slot] = pid;
    report('P', order->slot, pid, 0);
  }
}

/* Obey until we are a worker. A child that ends interrupts the wait, and at no other time. */
static void be_zygote(void) {
  unsigned long during_wait = 0;
  snapshot_forget(&driver); /* or all of it would be in memory twice */
  while (driver->zygote) {
    struct pollfd commands = {COMMANDS_FD, POLLIN, 0};
    struct Command order;
    KERNEL(SYS_ppoll, (long)&commands, 1, 0, (long)&during_wait, sizeof during_wait);
    reap();
    if (commands.revents == 0) continue;
    if (KERNEL(SYS_read, COMMANDS_FD, (long)&order, sizeof order) != sizeof order) leave(0);
    if (order.slot < SLOTS_MAX) obey(&order);
  }
}

static unsigned long now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000UL + now.tv_nsec;
}

static void look_at_clock(void) {
  driver->clock_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
  driver->charged_ns = 0;
}

/* gVisor's clock of a process has steps of 10 ms, and to ask for it costs more than many a run: for
   less, the time that passed says more. */
static unsigned long charge(unsigned long wall_ns) {
  unsigned long cpu_ns = wall_ns;
  if (wall_ns >= CLOCKED_NS) {
    unsigned long before_ns = driver->clock_ns + driver->charged_ns;
    look_at_clock();
    if (driver->clock_ns < before_ns + wall_ns)
      cpu_ns = driver->clock_ns > before_ns ? driver->clock_ns - before_ns : 0;
  } else {
    driver->charged_ns += cpu_ns;
  }
  return cpu_ns;
}

static void wait_for_orders(void) {
  char *byte = snapshot_buffer();
  *byte = 'd';
  if (driver->worked && KERNEL(SYS_write, DONE_FD, (long)byte, 1) != 1) leave(EXIT_BROKEN);
  driver->worked = 0;
  if (KERNEL(SYS_read, ORDERS_FD, (long)byte, 1) != 1) leave(EXIT_BROKEN);
  look_at_clock();
}

static void check_sometimes(void) {
  unsigned long runs = driver->runs;
  if (runs < driver->check_at) return;
  driver->check_at = runs + (runs < CHECK_RUNS_MAX ? runs + 1 : CHECK_RUNS_MAX);
  if (!snapshot_intact()) leave(EXIT_BROKEN);
}

static void next_order(void) {
  while (driver->area->finished >= driver->area->count) {
    if (driver->zygote) {
      report('A', 0, 0, 0);
      be_zygote();
    } else {
      if (driver->worked) check_sometimes();
      wait_for_orders();
    }
  }
}

static void write_answer(PyObject *answer, uint64_t index) {
  volatile struct Area *area = driver->area;
  char *text;
  long bytes;
  if (answer == NULL || PyBytes_AsStringAndSize(answer, &text, &bytes) < 0 ||
      bytes > area->orders[index].answer_max)
    bytes = 0; /* no answer is like this: not believed, and run again in `strict` */
  else
    memcpy((char *)area + area->answers_end, text, bytes);
  area->answers[index].at = area->answers_end;
  area->answers[index].bytes = bytes;
  area->answers_end += bytes; /* there is room for the longest answers of all orders */
}

static void run_order(void) {
  volatile struct Area *area = driver->area;
  uint64_t index = area->finished;
  volatile struct Order *order = &area->orders[index];
  const char *source = (const char *)area + order->source_at;
  area->begun = index + 1;
  unsigned long wall_ns = now_ns(CLOCK_MONOTONIC);
  PyObject *answer = PyObject_CallFunctionObjArgs(
      driver->call, PyBytes_FromStringAndSize(source, order->source_bytes),
      PyBytes_FromStringAndSize(source + order->source_bytes, order->arguments_bytes),
      PyLong_FromUnsignedLong(order->stdout_bytes), PyLong_FromUnsignedLong(order->value_bytes),
      NULL);
  write_answer(answer, index);
  wall_ns = now_ns(CLOCK_MONOTONIC) - wall_ns;
  area->answers[index].wall_ns = wall_ns;
  area->answers[index].cpu_ns = charge(wall_ns);
  area->answers[index].memory_bytes = driver->resident_bytes + snapshot_grown_bytes();
  area->finished = index + 1;
  driver->worked = 1;
  driver->runs++;
}

static void work(void) {
  if (snapshot_point(PROC_FD) < 0) {
    report('E', 0, 0, 0);
    leave(EXIT_SETUP);
  }
  next_order();
  run_order();
  snapshot_restore();
}

static void on_child(int number) { (void)number; }

static int wake_when_children_end(void) {
  struct sigaction action = {.sa_handler = on_child};
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  return sigaction(SIGCHLD, &action, NULL) < 0 || sigprocmask(SIG_BLOCK, &child, NULL) < 0 ? -1 : 0;
}

/* serve(call, orders, filter, base_bytes, resident_bytes): become the zygote. Returns only if that
   is impossible. `orders` is what the area shall hold at first. */
static PyObject *serve(PyObject *self, PyObject *args) {
  PyObject *call, *orders, *rules;
  unsigned long base_bytes, resident_bytes;
  char *image, *filter;
  long image_bytes, filter_bytes;
  (void)self;
  if (!PyArg_ParseTuple(args, "OOOkk", &call, &orders, &rules, &base_bytes, &resident_bytes) ||
      PyBytes_AsStringAndSize(orders, &image, &image_bytes) < 0 ||
      PyBytes_AsStringAndSize(rules, &filter, &filter_bytes) < 0)
    return NULL;
  void *area = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  driver = snapshot_open(sizeof *driver);
  if (area == MAP_FAILED || driver == NULL || image_bytes > AREA_BYTES ||
      filter_bytes > (long)sizeof driver->filter || wake_when_children_end() < 0) {
    PyErr_SetString(PyExc_OSError, "the driver cannot be set up");
    return NULL;
  }
  memcpy(area, image, image_bytes);
  memcpy(driver->filter, filter, filter_bytes);
  driver->filter_n = filter_bytes / sizeof(struct sock_filter);
  fill_in_addresses(driver->filter, driver->filter_n);
  driver->area = area;
  driver->call = call;
  driver->zygote = 1;
  driver->base_bytes = base_bytes;
  driver->resident_bytes = resident_bytes;
  work();
  return NULL;
}

static PyObject *own_memory(PyObject *self, PyObject *args) {
  (void)self, (void)args;
  snapshot_own_memory();
  return PyLong_FromLong(0);
}

static PyObject *fill_heap(PyObject *self, PyObject *args) {
  (void)self, (void)args;
  snapshot_fill_heap();
  return PyLong_FromLong(0);
}

static PyObject *newest_arena(PyObject *self, PyObject *args) {
  (void)self, (void)args;
  return PyLong_FromUnsignedLong(snapshot_newest_arena());
}

static PyMethodDef methods[] = {{"own_memory", own_memory, METH_VARARGS, NULL},
                                {"fill_heap", fill_heap, METH_VARARGS, NULL},
                                {"newest_arena", newest_arena, METH_VARARGS, NULL},
                                {"serve", serve, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};
static PyModuleDef module = {.head = {1, 0}, .name = "driver", .size = -1, .methods = methods};

PyObject *PyInit_driver(void) { return PyModule_Create2(&module, PYTHON_ABI_VERSION); }
