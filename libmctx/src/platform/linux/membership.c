/* SPDX-License-Identifier: MIT */
/* Memberships and their filters (RFC 3678). */
#include "../posix/posix.h"

#include <limits.h>
#include <string.h>

#include "linux.h"

enum { STACKED = 64 /* sources that need no memory of their own: as many as the system takes by default */ };

static int level_of(const mctx_address *group) {
  return group->family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
}

static mctx__result change(mctx__socket socket, const mctx_address *group, int what, const void *request,
                           size_t length, uint32_t asked) {
  if (setsockopt(mctx__descriptor(socket), level_of(group), what, request, (socklen_t)length) == 0) {
    return MCTX__DONE;
  }
  return mctx__failure(errno, asked);
}

static struct group_req request_for(const mctx_address *group, uint32_t interface_index) {
  struct group_req request = {.gr_interface = interface_index};
  (void)mctx__sockaddr_set(&request.gr_group, group);
  return request;
}

mctx__result mctx__socket_join(mctx__socket socket, const mctx_address *group, uint32_t interface_index) {
  const struct group_req request = request_for(group, interface_index);
  return change(socket, group, MCAST_JOIN_GROUP, &request, sizeof request, MCTX__ASKED_JOIN);
}

mctx__result mctx__socket_leave(mctx__socket socket, const mctx_address *group, uint32_t interface_index) {
  const struct group_req request = request_for(group, interface_index);
  return change(socket, group, MCAST_LEAVE_GROUP, &request, sizeof request, MCTX__ASKED_FILTER);
}

/* Whether a membership lets nobody through. */
static bool is_empty(mctx__socket socket, const mctx_address *group, uint32_t interface_index) {
  struct group_filter filter = {.gf_interface = interface_index};
  socklen_t length = GROUP_FILTER_SIZE(0);
  (void)mctx__sockaddr_set(&filter.gf_group, group);
  return getsockopt(mctx__descriptor(socket), level_of(group), MCAST_MSFILTER, &filter, &length) == 0 &&
         filter.gf_fmode == MCAST_INCLUDE && filter.gf_numsrc == 0;
}

mctx__result mctx__socket_join_source(mctx__socket socket, const mctx_address *group, uint32_t interface_index,
                                      const mctx_address *source) {
  struct group_source_req request = {.gsr_interface = interface_index};
  (void)mctx__sockaddr_set(&request.gsr_group, group);
  (void)mctx__sockaddr_set(&request.gsr_source, source);
  const mctx__result result =
      change(socket, group, MCAST_JOIN_SOURCE_GROUP, &request, sizeof request, MCTX__ASKED_JOIN);
  /* The system joins first and lists the source then: where that fails, the membership stays. */
  if (result.status != MCTX_OK && is_empty(socket, group, interface_index)) {
    (void)mctx__socket_leave(socket, group, interface_index);
  }
  return result;
}

static mctx__result filter_set(mctx__socket socket, struct group_filter *filter, const mctx_address *group,
                               uint32_t interface_index, uint32_t mode, const mctx_address *sources,
                               uint32_t count) {
  memset(filter, 0, GROUP_FILTER_SIZE(0));
  filter->gf_interface = interface_index;
  filter->gf_fmode = mode == MCTX_INCLUDE ? MCAST_INCLUDE : MCAST_EXCLUDE;
  (void)mctx__sockaddr_set(&filter->gf_group, group);
  filter->gf_numsrc = count;
  for (uint32_t i = 0; i < count; i++)
    (void)mctx__sockaddr_set(&filter->gf_slist[i], &sources[i]);
  return change(socket, group, MCAST_MSFILTER, filter, GROUP_FILTER_SIZE(count), MCTX__ASKED_FILTER);
}

mctx__result mctx__socket_filter(mctx__socket socket, const mctx_address *group, uint32_t interface_index,
                                 uint32_t mode, const mctx_address *sources, uint32_t count) {
  union {
    struct group_filter filter;
    unsigned char bytes[GROUP_FILTER_SIZE(STACKED)];
  } stacked;
  struct group_filter *filter = &stacked.filter;
  if (count > INT_MAX / sizeof(struct sockaddr_storage) - 2) { /* a length is an int */
    return mctx__failure(ENOBUFS, MCTX__ASKED_FILTER);
  }
  if (count > STACKED) filter = mctx__allocate(GROUP_FILTER_SIZE(count));
  if (filter == NULL) return MCTX__NO_MEMORY;
  const mctx__result result = filter_set(socket, filter, group, interface_index, mode, sources, count);
  if (count > STACKED) mctx__release(filter);
  return result;
}

mctx__result mctx__socket_hold_to(mctx__socket socket, uint32_t interface_index) {
  const int index = (int)interface_index;
  if (setsockopt(mctx__descriptor(socket), SOL_SOCKET, SO_BINDTOIFINDEX, &index, sizeof index) == 0) {
    return MCTX__DONE;
  }
  return mctx__failure(errno, MCTX__ASKED_INTERFACE);
}
