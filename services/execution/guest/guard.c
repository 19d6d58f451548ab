/* Locks a forked child in, in one call between the fork and the program.
 *
 * An extension module and not ctypes: ctypes would stay in the memory of every
 * child, where a program could dig it out.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi.h"
#include "descriptors.h"

enum { RESULT_FD = 3, OPEN_FILES_MAX = 32 };

static int limit(int resource, unsigned long value) {
  struct rlimit both = {value, value};
  return setrlimit(resource, &both);
}

static int move_descriptors(int result_fd, int null_fd) {
  /* The null device first: its own descriptor may be the one that the pipe is to have. The
     pipe is none of 0 to 2, which the supervisor has open. */
  for (int fd = 0; fd < RESULT_FD; fd++)
    if (dup2(null_fd, fd) < 0) return -1;
  if (result_fd != RESULT_FD && dup2(result_fd, RESULT_FD) < 0) return -1;
  if (syscall(SYS_close_range, RESULT_FD + 1, LAST_FD, 0) == 0) return 0;
  for (int fd = RESULT_FD + 1; fd < 1024; fd++) close(fd);
  return 0;
}

static int become(long uid) {
  if (uid < 0) return 0;
  if (setgroups(0, NULL) < 0) return -1;
  if (setresgid(uid, uid, uid) < 0) return -1;
  return setresuid(uid, uid, uid);
}

/* enter(result_fd, null_fd, uid, memory_bytes, cpu_s, filter): lock this process in. */
static PyObject *enter(PyObject *self, PyObject *args) {
  int result_fd, null_fd;
  long uid, filter_bytes;
  unsigned long memory_bytes, cpu_s;
  PyObject *rules;
  char *filter;
  if (!PyArg_ParseTuple(args, "iilkkO", &result_fd, &null_fd, &uid, &memory_bytes, &cpu_s, &rules))
    return NULL;
  if (PyBytes_AsStringAndSize(rules, &filter, &filter_bytes) < 0) return NULL;
  struct sock_fprog program = {filter_bytes / sizeof(struct sock_filter),
                               (struct sock_filter *)filter};
  /* Descriptors last: until then a failure can still be reported to the host. */
  if (limit(RLIMIT_CORE, 0) < 0 || limit(RLIMIT_FSIZE, 0) < 0 ||
      limit(RLIMIT_NOFILE, OPEN_FILES_MAX) < 0 || limit(RLIMIT_CPU, cpu_s) < 0 ||
      limit(RLIMIT_MEMLOCK, 0) < 0 || limit(RLIMIT_AS, memory_bytes) < 0 || become(uid) < 0 ||
      prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
      prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ||
      move_descriptors(result_fd, null_fd) < 0)
    return PyErr_SetFromErrno(PyExc_OSError);
  return PyLong_FromLong(RESULT_FD);
}

static void map_everything(void) {
  if (mlockall(MCL_CURRENT) == 0) munlockall(); /* if it may not, that is merely slower */
}

/* map_at_fork(): from now on children begin with all mapped that they share with their parent. In
   gVisor they have nothing, and get it piece by piece, in 0.1 ms each. */
static PyObject *map_at_fork(PyObject *self, PyObject *args) {
  (void)self, (void)args;
  return PyLong_FromLong(pthread_atfork(NULL, NULL, map_everything));
}

static PyMethodDef methods[] = {{"enter", enter, METH_VARARGS, NULL},
                                {"map_at_fork", map_at_fork, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};
static PyModuleDef module = {.head = {1, 0}, .name = "guard", .size = -1, .methods = methods};

PyObject *PyInit_guard(void) { return PyModule_Create2(&module, PYTHON_ABI_VERSION); }
