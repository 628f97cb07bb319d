/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

#include "queue.h"

#include <linux/pkt_sched.h>
#include <string.h>

static bool is_kind(const mctx__attribute *kind, const char *name) {
  const size_t size = strlen(name) + 1;
  return kind->length == size && memcmp(kind->data, name, size) == 0;
}

/* `fq` can be told to leave the rates alone. */
static bool keeps_rates(const mctx__attribute *options) {
  mctx__attributes attributes = mctx__attributes_in(options);
  mctx__attribute option;
  while (mctx__attributes_next(&attributes, &option)) {
    if (option.type == TCA_FQ_RATE_ENABLE && mctx__attribute_number(&option) == 0) return false;
  }
  return true;
}

static void queue_count(mctx__queues *queues, const mctx__attribute *kind, const mctx__attribute *options) {
  if (is_kind(kind, "fq") && keeps_rates(options))
    queues->pacing++;
  else
    queues->others++;
}

mctx__result mctx__queue_read(const struct nlmsghdr *message, void *user) {
  mctx__queues *queues = user;
  struct tcmsg head;
  mctx__attribute attribute;
  mctx__attribute kind = {.length = 0};
  mctx__attribute options = {.length = 0};
  if (message->nlmsg_type != RTM_NEWQDISC || !mctx__netlink_payload(message, &head, sizeof head) ||
      head.tcm_ifindex != (int)queues->index) {
    return MCTX__DONE;
  }
  mctx__attributes attributes = mctx__attributes_of(message, sizeof head);
  while (mctx__attributes_next(&attributes, &attribute)) {
    if (attribute.type == TCA_KIND) kind = attribute;
    if (attribute.type == TCA_OPTIONS) options = attribute;
  }
  if (head.tcm_parent == TC_H_ROOT) {
    queues->has_root = true;
    queues->handle = head.tcm_handle;
    queues->is_multiple = is_kind(&kind, "mq");
    if (!queues->is_multiple) queue_count(queues, &kind, &options);
  } else if (queues->is_multiple && head.tcm_parent != TC_H_INGRESS &&
             TC_H_MAJ(head.tcm_parent) == TC_H_MAJ(queues->handle)) {
    queue_count(queues, &kind, &options);
  }
  return MCTX__DONE;
}

bool mctx__queues_pace(const mctx__queues *queues) {
  return queues->has_root && queues->pacing > 0 && queues->others == 0;
}

bool mctx__interface_paces(uint32_t index) {
  struct {
    struct nlmsghdr header;
    struct tcmsg queue;
  } request = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof request.queue),
                          .nlmsg_type = RTM_GETQDISC,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
               .queue = {.tcm_ifindex = (int)index}};
  mctx__queues queues = {.index = index};
  mctx__netlink netlink;
  bool torn = false;
  if (mctx__netlink_open(&netlink).status != MCTX_OK) return false;
  const mctx__result result = mctx__netlink_ask(&netlink, &request.header, mctx__queue_read, &queues, &torn);
  mctx__netlink_close(&netlink);
  return result.status == MCTX_OK && !torn && mctx__queues_pace(&queues);
}
