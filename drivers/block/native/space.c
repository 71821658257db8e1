// What Node's file functions lack for sparse disks: fallocate(2), and the map of holes by lseek(2). By Node-API (one binary for every
// Node release), each call on a thread of the pool: a disk that hangs must not freeze the event loop. No static data: any number of
// threads may load it.
//
// The caller keeps the descriptor open until the promise ends. SEEK_DATA moves the descriptor's file position, which nobody else uses.
#define _GNU_SOURCE
#define NAPI_VERSION 9
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "writes.h"

// Of one answer of dataRanges: a file of more pieces is asked again from where the answer ends.
#define RANGES_MAX 4096

typedef struct {
  napi_async_work work;
  napi_deferred deferred;
  int fd;
  int mode;
  int64_t offset;
  int64_t end;
  // Results.
  int error;
  uint32_t count;  // of numbers in `ranges`
  double *ranges;  // dataRanges only: known until, start, end, start, end...
} Call;

static void run_fallocate(napi_env env, void *data) {
  (void)env;
  Call *c = data;
  int result;
  do {
    result = fallocate(c->fd, c->mode, c->offset, c->end - c->offset);
  } while (result != 0 && errno == EINTR);
  c->error = result == 0 ? 0 : errno;
}

static void run_data_ranges(napi_env env, void *data) {
  (void)env;
  Call *c = data;
  int64_t at = c->offset;
  c->count = 1;
  while (at < c->end && c->count < 1 + 2 * RANGES_MAX) {
    int64_t start = lseek(c->fd, at, SEEK_DATA);
    if (start < 0 && errno == ENXIO) {  // nothing but a hole up to the end of the file
      at = c->end;
      break;
    }
    int64_t hole = start < 0 ? -1 : lseek(c->fd, start, SEEK_HOLE);
    if (hole < 0) {
      c->error = errno;
      return;
    }
    if (start >= c->end) {
      at = c->end;
      break;
    }
    at = hole < c->end ? hole : c->end;
    c->ranges[c->count++] = (double)start;
    c->ranges[c->count++] = (double)at;
  }
  c->ranges[0] = (double)at;
}

// Resolves with a number (errno, 0 for success) or with an array of numbers.
static void ended(napi_env env, napi_status status, void *data) {
  Call *c = data;
  napi_value result = NULL, number;
  if (status == napi_cancelled) c->error = ECANCELED;
  bool made;
  if (c->error || !c->ranges) {
    made = napi_create_int32(env, c->error, &result) == napi_ok;
  } else {
    made = napi_create_array_with_length(env, c->count, &result) == napi_ok;
    for (uint32_t i = 0; made && i < c->count; i++) {
      made = napi_create_double(env, c->ranges[i], &number) == napi_ok && napi_set_element(env, result, i, number) == napi_ok;
    }
  }
  // Not made: the thread is ending, and nobody waits any more.
  if (made) napi_resolve_deferred(env, c->deferred, result);
  napi_delete_async_work(env, c->work);
  free(c->ranges);
  free(c);
}

static napi_value throw_type(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return NULL;
}

static napi_value throw_memory(napi_env env) {
  napi_throw_error(env, "ENOMEM", "no memory for a call on the thread pool");
  return NULL;
}

static napi_value start(napi_env env, Call *c, napi_async_execute_callback run) {
  napi_value promise, name;
  if (napi_create_string_utf8(env, "twinstep:space", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, NULL, name, run, ended, c, &c->work) != napi_ok) {
    free(c->ranges);
    free(c);
    return throw_memory(env);
  }
  if (napi_create_promise(env, &c->deferred, &promise) != napi_ok || napi_queue_async_work(env, c->work) != napi_ok) {
    napi_delete_async_work(env, c->work);
    free(c->ranges);
    free(c);
    return throw_memory(env);
  }
  return promise;
}

// The call's arguments: a descriptor, then `count` whole numbers. False: an exception was thrown.
static bool get_numbers(napi_env env, napi_callback_info info, int *fd, size_t count, int64_t *numbers, const char *usage) {
  napi_value a[4];
  size_t given = count + 1;
  if (napi_get_cb_info(env, info, &given, a, NULL, NULL) != napi_ok) return false;
  bool good = given == count + 1 && napi_get_value_int32(env, a[0], fd) == napi_ok;
  for (size_t i = 0; good && i < count; i++) good = napi_get_value_int64(env, a[i + 1], &numbers[i]) == napi_ok && numbers[i] >= 0;
  if (!good) throw_type(env, usage);
  return good;
}

// fallocate(fd, mode, offset, length) -> Promise of errno
static napi_value Fallocate(napi_env env, napi_callback_info info) {
  int fd;
  int64_t n[3];
  if (!get_numbers(env, info, &fd, 3, n, "fallocate(fd, mode, offset, length)")) return NULL;
  // The others move data or change the file's size.
  if (n[0] & ~(int64_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) return throw_type(env, "this mode is not allowed here");
  Call *c = calloc(1, sizeof *c);
  if (!c) return throw_memory(env);
  c->fd = fd;
  c->mode = (int)n[0];
  c->offset = n[1];
  c->end = n[1] + n[2];
  return start(env, c, run_fallocate);
}

// dataRanges(fd, offset, end) -> Promise of [known until, start, end, start, end...], or of errno
static napi_value DataRanges(napi_env env, napi_callback_info info) {
  int fd;
  int64_t n[2];
  if (!get_numbers(env, info, &fd, 2, n, "dataRanges(fd, offset, end)")) return NULL;
  Call *c = calloc(1, sizeof *c);
  double *ranges = malloc((1 + 2 * RANGES_MAX) * sizeof *ranges);
  if (!c || !ranges) {
    free(c);
    free(ranges);
    return throw_memory(env);
  }
  c->fd = fd;
  c->offset = n[0];
  c->end = n[1];
  c->ranges = ranges;
  return start(env, c, run_data_ranges);
}

NAPI_MODULE_INIT() {
  napi_value function;
  if (napi_create_function(env, "fallocate", NAPI_AUTO_LENGTH, Fallocate, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "fallocate", function) != napi_ok ||
      napi_create_function(env, "dataRanges", NAPI_AUTO_LENGTH, DataRanges, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "dataRanges", function) != napi_ok ||
      napi_create_function(env, "writeMany", NAPI_AUTO_LENGTH, WriteMany, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "writeMany", function) != napi_ok) {
    return NULL;
  }
  return exports;
}
