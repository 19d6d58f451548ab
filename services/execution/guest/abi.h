/* The few names of CPython's ABI that the extensions here use.
 *
 * Declared instead of included, so that no Python headers are needed and one build serves every
 * CPython from 3.11 on. All are of the stable ABI but the arena allocator, which has been the
 * same since 3.4.
 */
#ifndef ZEROLOOP_ABI_H
#define ZEROLOOP_ABI_H
#include <stddef.h>

typedef struct _object PyObject;
typedef struct {
  const char *name;
  PyObject *(*call)(PyObject *, PyObject *);
  int flags;
  const char *doc;
} PyMethodDef;
typedef struct {
  /* PyObject_HEAD, m_init, m_index, m_copy: zero but for the reference count. */
  long head[2];
  void *init;
  long index;
  void *copy;
  const char *name;
  const char *doc;
  long size;
  PyMethodDef *methods;
  void *slots, *traverse, *clear, *free;
} PyModuleDef;
typedef struct {
  void *context;
  void *(*alloc)(void *, size_t);
  void (*free)(void *, void *, size_t);
} PyObjectArenaAllocator;

enum { METH_VARARGS = 1, PYTHON_ABI_VERSION = 3 };

extern PyObject *PyExc_OSError;
extern int PyArg_ParseTuple(PyObject *, const char *, ...);
extern int PyBytes_AsStringAndSize(PyObject *, char **, long *);
extern PyObject *PyBytes_FromStringAndSize(const char *, long);
extern void PyErr_SetString(PyObject *, const char *);
extern PyObject *PyErr_SetFromErrno(PyObject *);
extern PyObject *PyLong_FromLong(long);
extern PyObject *PyLong_FromUnsignedLong(unsigned long);
extern PyObject *PyModule_Create2(PyModuleDef *, int);
extern PyObject *PyObject_CallFunctionObjArgs(PyObject *, ...);
extern void PyObject_SetArenaAllocator(PyObjectArenaAllocator *);

#endif
