/* SPDX-License-Identifier: MIT */
/* Addresses in the system's form, and back. */
#include "posix.h"

#include <arpa/inet.h>
#include <string.h>

_Static_assert(sizeof(struct sockaddr_in6) <= sizeof((mctx__endpoint){.length = 0}.bytes), "an endpoint fits");

socklen_t mctx__sockaddr_set(struct sockaddr_storage *native, const mctx_address *address) {
  memset(native, 0, sizeof *native);
  if (address->family == 4) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)native;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address->port);
    memcpy(&v4->sin_addr, address->bytes, sizeof v4->sin_addr);
    return sizeof *v4;
  }
  if (address->family == 6) {
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)native;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address->port);
    v6->sin6_scope_id = address->scope_id;
    memcpy(&v6->sin6_addr, address->bytes, sizeof v6->sin6_addr);
    return sizeof *v6;
  }
  return 0;
}

mctx_address mctx__sockaddr_get(const struct sockaddr_storage *native, socklen_t length) {
  mctx_address address = {0};
  if (length >= sizeof(struct sockaddr_in) && native->ss_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)native;
    address.family = 4;
    address.port = ntohs(v4->sin_port);
    memcpy(address.bytes, &v4->sin_addr, sizeof v4->sin_addr);
  } else if (length >= sizeof(struct sockaddr_in6) && native->ss_family == AF_INET6) {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)native;
    address.family = 6;
    address.port = ntohs(v6->sin6_port);
    address.scope_id = v6->sin6_scope_id;
    memcpy(address.bytes, &v6->sin6_addr, sizeof v6->sin6_addr);
  }
  return address;
}

void mctx__endpoint_set(mctx__endpoint *endpoint, const mctx_address *destination) {
  struct sockaddr_storage native;
  memset(endpoint, 0, sizeof *endpoint);
  if (destination == NULL) return;
  endpoint->length = (uint32_t)mctx__sockaddr_set(&native, destination);
  memcpy(endpoint->bytes, &native, endpoint->length);
}
