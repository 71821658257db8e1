// Many writes as one job of the thread pool. Waking a thread costs more than a write to the page cache does: once for all that came in
// one turn of the event loop, instead of once for each, is what a disk's small writes live on.
//
// Each write is done whole, or has an errno; one that fails does not keep the others from being done. The caller keeps the descriptor
// open and the bytes unchanged until the promise ends.
#include "writes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct {
  off_t position;
  size_t first;  // of its parts
  size_t count;
  int error;
} Write;

typedef struct {
  napi_async_work work;
  napi_deferred deferred;
  napi_ref parts;  // keeps the bytes alive
  int fd;
  bool failed;
  size_t count;
  Write *writes;
  struct iovec *vectors;
} Job;

static void release(napi_env env, Job *j) {
  if (j->work) napi_delete_async_work(env, j->work);
  if (j->parts) napi_delete_reference(env, j->parts);
  free(j->writes);
  free(j->vectors);
  free(j);
}

// The vectors are used up on the way.
static int write_whole(int fd, struct iovec *v, size_t count, off_t position) {
  while (count > 0) {
    ssize_t n = pwritev(fd, v, (int)(count > 1024 ? 1024 : count), position);  // IOV_MAX
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    position += n;
    bool progress = n > 0;
    while (count > 0 && (size_t)n >= v->iov_len) {
      n -= (ssize_t)v->iov_len;
      progress = true;
      v++;
      count--;
    }
    if (count > 0) {
      if (!progress) return EIO;  // the medium takes no more
      v->iov_base = (char *)v->iov_base + n;
      v->iov_len -= (size_t)n;
    }
  }
  return 0;
}

static void run_job(napi_env env, void *data) {
  (void)env;
  Job *j = data;
  for (size_t i = 0; i < j->count; i++) {
    Write *w = &j->writes[i];
    w->error = write_whole(j->fd, j->vectors + w->first, w->count, w->position);
    if (w->error) j->failed = true;
  }
}

static void job_ended(napi_env env, napi_status status, void *data) {
  Job *j = data;
  napi_value result = NULL, number;
  bool made;
  if (status == napi_cancelled) {
    j->failed = true;
    for (size_t i = 0; i < j->count; i++) j->writes[i].error = ECANCELED;
  }
  if (!j->failed) {
    made = napi_get_null(env, &result) == napi_ok;
  } else {
    made = napi_create_array_with_length(env, j->count, &result) == napi_ok;
    for (size_t i = 0; made && i < j->count; i++)
      made = napi_create_int32(env, j->writes[i].error, &number) == napi_ok && napi_set_element(env, result, (uint32_t)i, number) == napi_ok;
  }
  // Not made: the thread is ending, and nobody waits any more.
  if (made) napi_resolve_deferred(env, j->deferred, result);
  release(env, j);
}

static bool take_arguments(napi_env env, napi_callback_info info, Job *j) {
  napi_value a[4], item;
  size_t given = 4;
  uint32_t positions, counts, parts;
  if (napi_get_cb_info(env, info, &given, a, NULL, NULL) != napi_ok || given != 4 || napi_get_value_int32(env, a[0], &j->fd) != napi_ok ||
      napi_get_array_length(env, a[1], &positions) != napi_ok || napi_get_array_length(env, a[2], &counts) != napi_ok ||
      napi_get_array_length(env, a[3], &parts) != napi_ok || positions != counts)
    return false;
  j->count = positions;
  j->writes = calloc(positions ? positions : 1, sizeof *j->writes);
  j->vectors = calloc(parts ? parts : 1, sizeof *j->vectors);
  if (!j->writes || !j->vectors || napi_create_reference(env, a[3], 1, &j->parts) != napi_ok) return false;
  size_t used = 0;
  for (uint32_t i = 0; i < positions; i++) {
    int64_t position, count;
    if (napi_get_element(env, a[1], i, &item) != napi_ok || napi_get_value_int64(env, item, &position) != napi_ok || position < 0 ||
        napi_get_element(env, a[2], i, &item) != napi_ok || napi_get_value_int64(env, item, &count) != napi_ok || count < 0 ||
        count > parts - (int64_t)used)
      return false;
    j->writes[i] = (Write){.position = position, .first = used, .count = (size_t)count};
    used += (size_t)count;
  }
  for (uint32_t i = 0; i < parts; i++) {
    struct iovec *v = &j->vectors[i];
    bool is = false;
    if (napi_get_element(env, a[3], i, &item) != napi_ok || napi_is_buffer(env, item, &is) != napi_ok || !is ||
        napi_get_buffer_info(env, item, &v->iov_base, &v->iov_len) != napi_ok)
      return false;
  }
  return true;
}

napi_value WriteMany(napi_env env, napi_callback_info info) {
  napi_value promise, name;
  Job *j = calloc(1, sizeof *j);
  if (!j || !take_arguments(env, info, j)) {
    if (j) release(env, j);
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "writeMany(fd, positions, counts, parts)");
    return NULL;
  }
  if (napi_create_string_utf8(env, "twinstep:writes", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, NULL, name, run_job, job_ended, j, &j->work) != napi_ok ||
      napi_create_promise(env, &j->deferred, &promise) != napi_ok || napi_queue_async_work(env, j->work) != napi_ok) {
    release(env, j);
    napi_throw_error(env, "ENOMEM", "no memory for a call on the thread pool");
    return NULL;
  }
  return promise;
}
