/* System calls without libc, whose data may be half put back while they are made. x86-64. */
#ifndef ZEROLOOP_KERNEL_H
#define ZEROLOOP_KERNEL_H
#include <sys/syscall.h>

/* KERNEL(number, arguments...): at most six, as long; returns what the kernel does. */
#define KERNEL(number, ...) kernel_call(number, (const long[6]){__VA_ARGS__})

static inline long kernel_call(long number, const long *with) {
  long result;
  register long r10 __asm__("r10") = with[3];
  register long r8 __asm__("r8") = with[4];
  register long r9 __asm__("r9") = with[5];
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(with[0]), "S"(with[1]), "d"(with[2]), "r"(r10), "r"(r8),
                     "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static inline void leave(int code) {
  for (;;) KERNEL(SYS_exit_group, code);
}

#endif
