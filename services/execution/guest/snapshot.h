/* A copy of this process's writable memory, and the way back to it. See snapshot.c. */
#ifndef ZEROLOOP_SNAPSHOT_H
#define ZEROLOOP_SNAPSHOT_H

/* How a worker ends that cannot go on. Its supervisor charges nobody for these. */
enum { EXIT_SETUP = 96, EXIT_BROKEN = 97, EXIT_FAULT = 98, EXIT_LEFT_BEHIND = 99 };

/* Descriptors of a worker. Those below FIRST_FREE_FD are its own, and a program that closes one ends
   it; the others are closed after each run. */
enum { ORDERS_FD = 3, DONE_FD = 4, STATM_FD = 5, FIRST_FREE_FD = 6 };

/* Let memory grow at its end alone, so that it can be cut off there. Once, early. */
void snapshot_own_memory(void);

/* Use up what malloc has free inside the heap, see `snapshot_take`. */
void snapshot_fill_heap(void);

/* Address of the arena that Python got last; 0 if it got none. */
unsigned long snapshot_newest_arena(void);

/* Reserve what a copy needs, with `state_bytes` zeroed bytes for the caller that are never put
   back. Returns them, or NULL. */
void *snapshot_open(unsigned long state_bytes);

/* The one buffer through which a worker reads and writes on its own descriptors. */
enum { SNAPSHOT_BUFFER_BYTES = 64 };
char *snapshot_buffer(void);

/* Put memory back, and go to where it was taken. */
void snapshot_restore(void) __attribute__((noreturn));

/* Copy all writable memory; the next `snapshot_restore` comes back here. Returns 0 after taking,
   1 after coming back, -1 if there is too much of it. What there is tells procfs, whose root is open
   as `proc_fd`. */
#define snapshot_point(proc_fd) (snapshot_save(snapshot_registers()) ? 1 : snapshot_take(proc_fd))
unsigned long *snapshot_registers(void);
int snapshot_save(unsigned long *registers) __attribute__((returns_twice));
int snapshot_take(int proc_fd);

/* Give back the memory of what the copy has too, but not where `needed` lies. It may not be touched
   again, so libc may not be called, before `snapshot_arm` has brought it back. */
void snapshot_forget(const void *needed);

/* From here on only pages that were seen to change are put back; others are guarded. */
void snapshot_arm(void);

/* From here on a filter tells, by SIGSYS, of calls that may open or map something. Descriptors from
   FIRST_FREE_FD on are closed after runs with such calls, and what is mapped is looked at; until
   now, the latter after each run. */
void snapshot_watch_calls(void);

/* OWN_CALL(number, arguments...): makes a call that the filter lets pass, because it returns to
   `snapshot_called`. */
#define OWN_CALL(number, ...) snapshot_call(number, (const long[6]){__VA_ARGS__})
long snapshot_call(long number, const long *with) __attribute__((visibility("hidden")));
extern const char snapshot_called[] __attribute__((visibility("hidden")));

/* Whether the copy is still what was taken, and no page has changed that is not put back. To be
   asked when memory has just been put back. */
int snapshot_intact(void);

/* Bytes by which memory has grown since it was taken, and all that was mapped then. */
unsigned long snapshot_grown_bytes(void);
unsigned long snapshot_mapped_bytes(void);

#endif
