/* SPDX-License-Identifier: MIT */
/* How a datagram would leave, as the kernel says. */
#include "../posix/posix.h"

#include "rtnl.h"

#include <string.h>

/* RTM_GETROUTE with the attributes that it may carry here. */
typedef struct route_question {
  struct nlmsghdr header;
  struct rtmsg route;
  unsigned char attributes[64];
} route_question;

typedef struct route_answer {
  uint32_t index;
  mctx_address source;
} route_answer;

static size_t address_length(const mctx_address *address) {
  return address->family == 6 ? 16 : 4;
}

static void attribute_add(route_question *question, unsigned short type, const void *data, size_t length) {
  const struct rtattr head = {.rta_len = (unsigned short)RTA_LENGTH(length), .rta_type = type};
  unsigned char *at = (unsigned char *)question + question->header.nlmsg_len;
  memcpy(at, &head, sizeof head);
  memcpy(at + RTA_LENGTH(0), data, length);
  question->header.nlmsg_len += (uint32_t)RTA_ALIGN(head.rta_len);
}

static mctx__result answer_read(const struct nlmsghdr *message, void *user) {
  route_answer *answer = user;
  struct rtmsg route;
  mctx__attribute attribute;
  if (message->nlmsg_type != RTM_NEWROUTE || !mctx__netlink_payload(message, &route, sizeof route)) {
    return MCTX__DONE;
  }
  mctx__attributes attributes = mctx__attributes_of(message, sizeof route);
  while (mctx__attributes_next(&attributes, &attribute)) {
    if (attribute.type == RTA_OIF) answer->index = mctx__attribute_number(&attribute);
    if (attribute.type == RTA_PREFSRC && attribute.length <= sizeof answer->source.bytes) {
      answer->source.family = route.rtm_family == AF_INET6 ? 6 : 4;
      memcpy(answer->source.bytes, attribute.data, attribute.length);
    }
  }
  return MCTX__DONE;
}

static bool is_unspecified(const mctx_address *address) {
  static const uint8_t any[16] = {0};
  return memcmp(address->bytes, any, sizeof any) == 0;
}

mctx__result mctx__route_ask(mctx__netlink *netlink, const mctx_address *destination, uint32_t interface_index,
                             const mctx_address *source, mctx_address *chosen_source, uint32_t *chosen_index) {
  const size_t length = address_length(destination);
  const bool from = source->family == destination->family && !is_unspecified(source);
  route_answer answer = {0};
  route_question question = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof question.route),
                                        .nlmsg_type = RTM_GETROUTE,
                                        .nlmsg_flags = NLM_F_REQUEST},
                             .route = {.rtm_family = destination->family == 6 ? AF_INET6 : AF_INET,
                                       .rtm_dst_len = (unsigned char)(length * 8),
                                       .rtm_src_len = (unsigned char)(from ? length * 8 : 0)}};
  /* A scoped address names the interface too. */
  uint32_t index = interface_index != 0 ? interface_index : destination->scope_id;
  if (index == 0 && from) index = source->scope_id;
  attribute_add(&question, RTA_DST, destination->bytes, length);
  if (from) attribute_add(&question, RTA_SRC, source->bytes, length);
  if (index != 0) attribute_add(&question, RTA_OIF, &index, sizeof index);
  const mctx__result result = mctx__netlink_ask(netlink, &question.header, answer_read, &answer, NULL);
  if (result.status != MCTX_OK) return result;
  if (answer.index == 0) return (mctx__result){MCTX_ERR_NO_ROUTE, 0};

  if (from) {
    answer.source.family = source->family;
    memcpy(answer.source.bytes, source->bytes, sizeof answer.source.bytes);
  }
  if (mctx__is_scoped(&answer.source)) answer.source.scope_id = answer.index;
  *chosen_source = answer.source;
  *chosen_index = answer.index;
  return MCTX__DONE;
}

mctx__result mctx__route_lookup(const mctx_address *destination, uint32_t interface_index,
                                const mctx_address *source, mctx_address *chosen_source,
                                uint32_t *chosen_index) {
  mctx__netlink netlink;
  mctx__result result = mctx__netlink_open(&netlink);
  if (result.status != MCTX_OK) return result;
  result = mctx__route_ask(&netlink, destination, interface_index, source, chosen_source, chosen_index);
  mctx__netlink_close(&netlink);
  return result;
}

mctx__result mctx__route_default(mctx__netlink *netlink, uint32_t family, uint32_t *index) {
  /* Groups for documentation (RFC 6676): routable, of global scope, and nobody has a route of their own for
   * them. */
  static const mctx_address groups[] = {
      {.family = 4, .bytes = {233, 252, 0, 1}},
      {.family = 6, .bytes = {0xff, 0x0e, [11] = 0, [12] = 0x0d, 0xb8, 0, 1}}};
  static const mctx_address none;
  mctx_address source;
  const mctx__result result = mctx__route_ask(netlink, &groups[family == 6], 0, &none, &source, index);
  if (result.status == MCTX_ERR_NO_ROUTE || result.status == MCTX_ERR_FAMILY_UNSUPPORTED) {
    *index = 0;
    return MCTX__DONE;
  }
  return result;
}
