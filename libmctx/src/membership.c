/* SPDX-License-Identifier: MIT */
/* Reading memberships back. */
#include <stdio.h>

#include "address.h"
#include "join.h"
#include "options.h"

static mctx_membership_info describe(mctx__subscription *subscription, const mctx__member *member,
                                     int64_t now) {
  mctx_membership_info info = {
      .group = member->entry.group,
      .id = member->id,
      .interface_index = member->entry.interface_index,
      .mode = member->filter.mode,
      .refusal = member->refusal,
      .source_count = member->filter.count,
      .first_ns = -1,
      .last_ns = -1,
  };
  if (member->is_default) info.flags |= MCTX_MEMBERSHIP_DEFAULT;
  if (member->refusal != MCTX_OK) info.flags |= MCTX_MEMBERSHIP_REFUSED;
  if (member->entry.interface_index == 0) info.flags |= MCTX_MEMBERSHIP_ABSENT;
  if (mctx__is_sourceless(&member->entry.group, &member->filter)) info.flags |= MCTX_MEMBERSHIP_SOURCELESS;
  for (const mctx__part *part = member->parts; part != NULL; part = part->next)
    if (!part->is_told) info.flags |= MCTX_MEMBERSHIP_FILTERED;
  for (const mctx__name *name = member->names; name != NULL; name = name->next)
    info.name_count++;
  mctx__subscription_lock(subscription);
  const mctx__tally tally = mctx__member_tally(member);
  info.datagrams = tally.datagrams;
  info.bytes = tally.bytes;
  if (tally.first_ns != 0) {
    info.first_ns = tally.first_ns > member->joined_ns ? tally.first_ns - member->joined_ns : 0;
    info.last_ns = now > tally.last_ns ? now - tally.last_ns : 0;
  }
  mctx__subscription_unlock(subscription);
  return info;
}

/* Enters with one membership; on failure nothing is entered. */
static mctx_status enter_membership(const mctx__call *call, uint32_t id, mctx__subscription **subscription,
                                    const mctx__member **member) {
  mctx_status status = mctx__subscription_enter(call, subscription);
  if (status != MCTX_OK) return status;
  *member = (*subscription)->first;
  while (*member != NULL && (*member)->id != id)
    *member = (*member)->next;
  if (*member != NULL) return MCTX_OK;
  mctx__subscription_exit(*subscription);
  return MCTX__FAIL(call, MCTX_ERR_MEMBERSHIP_NOT_FOUND, .field = "id", .value = id,
                    .hint = "the memberships of the subscription tell their ids");
}

mctx_status mctx_memberships(mctx_subscription subscription, mctx_membership_info *memberships, uint32_t stride,
                             uint32_t capacity, uint32_t *count, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  mctx__subscription *own;
  uint32_t position = 0;
  if (count != NULL) *count = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (count == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "count");
  mctx_status status = mctx__array_check(&call, memberships, stride, capacity, "memberships");
  if (status == MCTX_OK) status = mctx__subscription_enter(&call, &own);
  if (status != MCTX_OK) return status;
  const int64_t now = mctx__clock_coarse();
  for (const mctx__member *member = own->first; member != NULL && position < capacity; member = member->next) {
    const mctx_membership_info info = describe(own, member, now);
    mctx__element_write(memberships, stride, position++, &info, sizeof info);
  }
  *count = own->member_count;
  mctx__subscription_exit(own);
  return MCTX_OK;
}

mctx_status mctx_membership_sources(mctx_subscription subscription, uint32_t id, mctx_address *sources,
                                    uint32_t capacity, uint32_t *count, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  mctx__subscription *own;
  const mctx__member *member;
  if (count != NULL) *count = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (count == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "count");
  if (sources == NULL && capacity > 0) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "sources");
  mctx_status status = enter_membership(&call, id, &own, &member);
  if (status != MCTX_OK) return status;
  for (uint32_t i = 0; i < member->filter.count && i < capacity; i++)
    sources[i] = member->filter.sources[i];
  *count = member->filter.count;
  mctx__subscription_exit(own);
  return MCTX_OK;
}

static size_t write_name(const mctx_interface_ref *ref, char *text, size_t capacity) {
  char own[MCTX__ADDRESS_TEXT];
  if (ref->by == MCTX_INTERFACE_BY_NAME) return mctx__copy_text(text, capacity, ref->name);
  if (ref->by == MCTX_INTERFACE_BY_ADDRESS)
    return mctx__copy_text(text, capacity, mctx__host_text(&ref->address, own));
  snprintf(own, sizeof own, "#%u", (unsigned)ref->index);
  return mctx__copy_text(text, capacity, own);
}

mctx_status mctx_membership_name(mctx_subscription subscription, uint32_t id, uint32_t position, char *text,
                                 size_t capacity, size_t *length, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  mctx__subscription *own;
  const mctx__member *member;
  mctx__text_clear(text, capacity, length);
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__text_check(&call, text, capacity, length);
  if (status == MCTX_OK) status = enter_membership(&call, id, &own, &member);
  if (status != MCTX_OK) return status;
  const mctx__name *name = member->names;
  for (uint32_t i = 0; name != NULL && i < position; i++)
    name = name->next;
  if (name != NULL)
    *length = write_name(&name->ref, text, capacity);
  else
    status = MCTX__FAIL(&call, MCTX_ERR_NOT_FOUND, .field = "position", .value = position,
                        .hint = "positions go from 0 to `name_count` less one");
  mctx__subscription_exit(own);
  return status;
}
