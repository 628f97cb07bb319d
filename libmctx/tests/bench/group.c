/* SPDX-License-Identifier: MIT */
#include "group.h"

#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

mctx_address group_at(const mctx_address *first, uint32_t position) {
  mctx_address group = *first;
  uint8_t *end = &group.bytes[group.family == 4 ? 4 : 16];
  const uint32_t low = ((uint32_t)end[-2] << 8 | end[-1]) + position;
  end[-2] = (uint8_t)(low >> 8);
  end[-1] = (uint8_t)low;
  return group;
}

socklen_t group_native(const mctx_address *group, uint16_t port, struct sockaddr_storage *native) {
  memset(native, 0, sizeof *native);
  if (group->family == 4) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)native;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    memcpy(&v4->sin_addr, group->bytes, sizeof v4->sin_addr);
    return sizeof *v4;
  }
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)native;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  memcpy(&v6->sin6_addr, group->bytes, sizeof v6->sin6_addr);
  return sizeof *v6;
}

int group_sender(const mctx_address *group, const char *interface) {
  const int family = group->family == 4 ? AF_INET : AF_INET6;
  const int index = (int)if_nametoindex(interface);
  const struct ip_mreqn v4 = {.imr_ifindex = index};
  const int made = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (made < 0) return -1;
  if ((family == AF_INET ? setsockopt(made, IPPROTO_IP, IP_MULTICAST_IF, &v4, sizeof v4)
                         : setsockopt(made, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index)) == 0)
    return made;
  (void)close(made);
  return -1;
}
