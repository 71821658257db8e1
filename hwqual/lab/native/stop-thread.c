// Holds one thread of another process still until stdin ends: `stop-thread TID`. Says "stopped" when it is.
// For the lab: a virtual CPU that does not run while the engine around it lives.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_MS = 20 };

static int failed(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return 1;
}

int main(int count, char **arguments) {
  pid_t thread = count > 1 ? atoi(arguments[1]) : 0;
  if (thread <= 0) return fprintf(stderr, "stop-thread TID\n"), 2;
  int status;
  if (ptrace(PTRACE_SEIZE, thread, 0, 0)) return failed("cannot hold the thread");
  if (ptrace(PTRACE_INTERRUPT, thread, 0, 0)) return failed("cannot stop the thread");
  if (waitpid(thread, &status, __WALL) < 0) return failed("cannot wait for the thread");
  printf("stopped\n");
  fflush(stdout);
  // A held thread that is killed must be waited for here: its process would otherwise never end for its own parent.
  for (struct pollfd in = {.fd = 0, .events = POLLIN};;) {
    char byte;
    if (poll(&in, 1, LOOK_MS) > 0 && read(0, &byte, 1) <= 0) return 0; // who holds it ends: the thread goes on
    pid_t ended = waitpid(thread, &status, __WALL | WNOHANG);
    if (ended < 0 || (ended == thread && !WIFSTOPPED(status))) return 0;
  }
}
