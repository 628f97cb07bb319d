/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "group.h"

enum { BUFFER = 32 << 20, PATIENCE_MS = 20 };

static int set(int descriptor, int level, int option, int value) {
  return setsockopt(descriptor, level, option, &value, sizeof value);
}

static int join(int descriptor, const mctx_address *group, int index) {
  struct group_req request = {.gr_interface = (uint32_t)index};
  (void)group_native(group, 0, &request.gr_group);
  return setsockopt(descriptor, group->family == 4 ? IPPROTO_IP : IPPROTO_IPV6, MCAST_JOIN_GROUP, &request,
                    sizeof request);
}

static int open_here(const mctx_address *group, uint16_t port, const char *interface, bool coalesces) {
  struct sockaddr_storage address;
  const socklen_t length = group_native(group, port, &address);
  const int made = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int index = (int)if_nametoindex(interface);
  if (made < 0) return -1;
  if (set(made, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER) != 0) (void)set(made, SOL_SOCKET, SO_RCVBUF, BUFFER);
  if (set(made, SOL_SOCKET, SO_REUSEADDR, 1) == 0 && bind(made, (struct sockaddr *)&address, length) == 0 &&
      join(made, group, index) == 0 && (!coalesces || set(made, IPPROTO_UDP, UDP_GRO, 1) == 0))
    return made;
  (void)close(made);
  return -1;
}

int listener_open(const mctx_address *group, uint16_t port, const listener_place *place, bool coalesces) {
  const int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const int other = place->netns != NULL ? open(place->netns, O_RDONLY | O_CLOEXEC) : -1;
  int made = -1;
  if (place->netns == NULL || (other >= 0 && setns(other, CLONE_NEWNET) == 0))
    made = open_here(group, port, place->interface, coalesces);
  if (made < 0) fprintf(stderr, "cannot listen: %s\n", strerror(errno));
  if (place->netns != NULL && setns(own, CLONE_NEWNET) != 0 && made >= 0) {
    (void)close(made);
    made = -1;
  }
  (void)close(own);
  if (other >= 0) (void)close(other);
  return made;
}

uint64_t listener_drain(int descriptor, uint64_t bytes) {
  uint64_t received = 0;
  while (received < bytes) {
    const ssize_t got = recv(descriptor, NULL, 0, MSG_TRUNC); /* its length, without its bytes */
    struct pollfd more = {.fd = descriptor, .events = POLLIN};
    if (got >= 0)
      received += (uint64_t)got;
    else if (errno != EAGAIN || poll(&more, 1, PATIENCE_MS) <= 0)
      break;
  }
  return received;
}
