/* Shows the second interpreter of a pair another time than the first one.
 *
 * Two runs of a program that asks for today's date agree, and tomorrow's does not. So in the second
 * interpreter all clocks but those of processor time are far ahead, and so are the times of files,
 * some of which tell when the sandbox was started. Whatever is made of them, however coarse, differs
 * within the pair, and what is measured between two readings does not.
 *
 * Loaded before libc, whose functions it hides: programs reach the kernel's clocks through these
 * alone. Deadlines that are moments of a clock are moved back on their way to libc.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

/* Two years and some months, and a prime, which no unit of time divides: year, month, weekday, half
   of the day, minute and second differ. Ahead, so that what is later than some date remains so. */
static const time_t AHEAD_S = 76509079;
static const time_t UP_S = 8658043; /* of clocks that begin at the start */
enum { TICKS_PER_S = 100 };         /* of times(2) */

/* Hides libc's function of that name. What it hides is found before Python starts, because in mode
   `reset` what a run finds is forgotten; or earlier: other libraries begin by asking for the time. */
#define HIDE(type, name, parameters)                           \
  static type(*next_##name) parameters;                        \
  __attribute__((constructor)) static void find_##name(void) { \
    *(void **)&next_##name = dlsym(RTLD_NEXT, #name);          \
  }                                                            \
  type name parameters
#define NEXT(name) (next_##name != NULL ? next_##name : (find_##name(), next_##name))

static time_t ahead_s(clockid_t clock) {
  switch (clock) {
  case CLOCK_REALTIME:
  case CLOCK_REALTIME_COARSE:
  case CLOCK_REALTIME_ALARM:
  case CLOCK_TAI:
    return AHEAD_S;
  case CLOCK_MONOTONIC:
  case CLOCK_MONOTONIC_COARSE:
  case CLOCK_MONOTONIC_RAW:
  case CLOCK_BOOTTIME:
  case CLOCK_BOOTTIME_ALARM:
    return UP_S;
  default:
    return 0; /* processor time */
  }
}

HIDE(int, clock_gettime, (clockid_t clock, struct timespec *now)) {
  int failed = NEXT(clock_gettime)(clock, now);
  if (!failed) now->tv_sec += ahead_s(clock);
  return failed;
}

HIDE(int, gettimeofday, (struct timeval *restrict now, void *restrict zone)) {
  int failed = NEXT(gettimeofday)(now, zone);
  if (!failed) now->tv_sec += AHEAD_S;
  return failed;
}

HIDE(time_t, time, (time_t *kept)) {
  time_t now = NEXT(time)(NULL) + AHEAD_S;
  if (kept != NULL) *kept = now;
  return now;
}

HIDE(clock_t, times, (struct tms *used)) { return NEXT(times)(used) + UP_S * TICKS_PER_S; }

static struct timespec moved_back(const struct timespec *until, clockid_t clock) {
  return (struct timespec){until->tv_sec - ahead_s(clock), until->tv_nsec};
}

HIDE(int, clock_nanosleep,
     (clockid_t clock, int flags, const struct timespec *until, struct timespec *left)) {
  struct timespec moved = moved_back(until, clock);
  return NEXT(clock_nanosleep)(clock, flags, flags & TIMER_ABSTIME ? &moved : until, left);
}

HIDE(int, sem_timedwait, (sem_t *restrict semaphore, const struct timespec *restrict until)) {
  struct timespec moved = moved_back(until, CLOCK_REALTIME);
  return NEXT(sem_timedwait)(semaphore, &moved);
}

HIDE(int, sem_clockwait,
     (sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until)) {
  struct timespec moved = moved_back(until, clock);
  return NEXT(sem_clockwait)(semaphore, clock, &moved);
}

/* All that stat(2) is called in libraries of any age, with what its arguments are called. */
#define HIDE_STAT(name, parameters, ...)       \
  HIDE(int, name, parameters) {                \
    int failed = NEXT(name)(__VA_ARGS__);     \
    if (!failed) {                             \
      found->st_atim.tv_sec += AHEAD_S;        \
      found->st_mtim.tv_sec += AHEAD_S;        \
      found->st_ctim.tv_sec += AHEAD_S;        \
    }                                          \
    return failed;                             \
  }
#define HIDE_STATS(bits, kind)                                                                   \
  HIDE_STAT(stat##bits, (const char *restrict path, kind *restrict found), path, found)          \
  HIDE_STAT(lstat##bits, (const char *restrict path, kind *restrict found), path, found)         \
  HIDE_STAT(fstat##bits, (int fd, kind *found), fd, found)                                       \
  HIDE_STAT(fstatat##bits,                                                                       \
            (int fd, const char *restrict path, kind *restrict found, int flags), fd, path,      \
            found, flags)                                                                        \
  HIDE_STAT(__xstat##bits, (int version, const char *path, kind *found), version, path, found)   \
  HIDE_STAT(__lxstat##bits, (int version, const char *path, kind *found), version, path, found)  \
  HIDE_STAT(__fxstat##bits, (int version, int fd, kind *found), version, fd, found)              \
  HIDE_STAT(__fxstatat##bits,                                                                    \
            (int version, int fd, const char *path, kind *found, int flags), version, fd, path,  \
            found, flags)
typedef struct stat Stat;
typedef struct stat64 Stat64;
HIDE_STATS(, Stat)
HIDE_STATS(64, Stat64)
