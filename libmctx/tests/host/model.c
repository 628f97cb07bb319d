/* SPDX-License-Identifier: MIT */
/* What subscriptions should have joined, and what follows from it. */
#include "host/model.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/kernel.h"

/* ---- the model ---- */

void model_join(model *expected, const mctx_address *group, const char *interface) {
  assert_in_range(expected->count, 0, MODEL_MEMBERS - 1);
  expected->members[expected->count++] = (model_member){.group = *group, .interface = interface};
}

void model_leave(model *expected, const mctx_address *group, const char *interface) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < expected->count; i++) {
    const model_member *each = &expected->members[i];
    bool left =
        is_same_host(&each->group, group) && (interface == NULL || strcmp(each->interface, interface) == 0);
    if (!left) expected->members[kept++] = *each;
  }
  expected->count = kept;
}

static bool lists(const mctx_address *sources, uint64_t count, const mctx_address *source) {
  for (uint64_t i = 0; i < count; i++)
    if (is_same_host(&sources[i], source)) return true;
  return false;
}

static bool passes(const model_member *one, const mctx_address *source) {
  return lists(one->sources, one->source_count, source) == (one->mode == MCTX_INCLUDE);
}

/* ---- what the library says ---- */

static void assert_same_member(mctx_subscription subscription, const mctx_membership_info *info,
                               const model_member *expected) {
  mctx_address sources[MODEL_SOURCES];
  uint32_t count;
  assert_int_equal(info->refusal, MCTX_OK);
  assert_int_equal(info->mode, expected->mode);
  assert_int_equal(info->source_count, expected->source_count);
  assert_ok(mctx_membership_sources(subscription, info->id, sources, MODEL_SOURCES, &count, NULL));
  assert_int_equal(count, expected->source_count);
  for (uint32_t i = 0; i < count; i++)
    assert_true(lists(sources, count, &expected->sources[i]));
}

void assert_reads_back(mctx_subscription subscription, const model *expected) {
  mctx_membership_info infos[MODEL_MEMBERS];
  uint32_t count;
  assert_ok(mctx_memberships(subscription, infos, sizeof infos[0], MODEL_MEMBERS, &count, NULL));
  assert_int_equal(count, expected->count);
  assert_int_equal(subscription_info(subscription).membership_count, count);
  for (uint32_t i = 0; i < expected->count; i++) {
    const mctx_membership_info *found = NULL;
    for (uint32_t k = 0; k < count; k++)
      if (is_same_host(&infos[k].group, &expected->members[i].group) &&
          infos[k].interface_index == host_index(expected->members[i].interface))
        found = &infos[k];
    if (found == NULL)
      fail_msg("%s on %s is not listed", text_of(&expected->members[i].group), expected->members[i].interface);
    else
      assert_same_member(subscription, found, &expected->members[i]);
  }
}

/* ---- what the kernel says ---- */

static uint32_t count_listing(const model *expected, uint32_t count, const kernel_source *row, uint32_t mode) {
  uint32_t listing = 0;
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t k = 0; k < expected[i].count; k++) {
      const model_member *each = &expected[i].members[k];
      listing += each->mode == mode && host_index(each->interface) == row->interface_index &&
                 is_same_host(&each->group, &row->group) &&
                 lists(each->sources, each->source_count, &row->source);
    }
  return listing;
}

static void assert_group_expected(const kernel_group *row, const model *expected, uint32_t count) {
  uint32_t users = 0;
  for (uint32_t m = 0; m < count; m++)
    for (uint32_t k = 0; k < expected[m].count; k++)
      users += is_same_host(&expected[m].members[k].group, &row->group) &&
               host_index(expected[m].members[k].interface) == row->interface_index;
  if (row->users != users)
    fail_msg("%u sockets joined %s on interface %u, not %u", row->users, text_of(&row->group),
             row->interface_index, users);
}

static void assert_source_expected(const kernel_source *row, const model *expected, uint32_t count) {
  uint32_t includes = count_listing(expected, count, row, MCTX_INCLUDE);
  uint32_t excludes = count_listing(expected, count, row, MCTX_EXCLUDE);
  if (row->includes != includes || row->excludes != excludes)
    fail_msg("%s from %s on interface %u: %u include and %u exclude it, not %u and %u", text_of(&row->group),
             text_of(&row->source), row->interface_index, row->includes, row->excludes, includes, excludes);
}

/* The first source that the kernel does not list, or NULL. */
static const mctx_address *unlisted_source(const kernel_tables *tables, const model_member *each) {
  for (uint32_t i = 0; i < each->source_count; i++)
    if (kernel_source_find(tables, host_index(each->interface), &each->group, &each->sources[i]) == NULL)
      return &each->sources[i];
  return NULL;
}

static kernel_tables tables;

static void assert_groups_expected(const model *expected, uint32_t count) {
  for (uint32_t i = 0; i < tables.group_count; i++)
    assert_group_expected(&tables.groups[i], expected, count);
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t k = 0; k < expected[i].count; k++) {
      const model_member *each = &expected[i].members[k];
      if (kernel_group_find(&tables, host_index(each->interface), &each->group) == NULL)
        fail_msg("the kernel has not joined %s on %s", text_of(&each->group), each->interface);
    }
}

void assert_kernel_joined(const model *expected, uint32_t count) {
  kernel_groups_read(&tables);
  assert_groups_expected(expected, count);
}

void assert_kernel_agrees(const model *expected, uint32_t count) {
  kernel_tables_read(&tables);
  assert_groups_expected(expected, count);
  for (uint32_t i = 0; i < tables.source_count; i++)
    assert_source_expected(&tables.sources[i], expected, count);
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t k = 0; k < expected[i].count; k++) {
      const model_member *each = &expected[i].members[k];
      const mctx_address *unlisted = unlisted_source(&tables, each);
      if (unlisted != NULL)
        fail_msg("the kernel's filter of %s on %s does not list %s", text_of(&each->group), each->interface,
                 text_of(unlisted));
    }
}

void await_filters(const model *expected) {
  for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
    bool all = true;
    kernel_tables_read(&tables);
    for (uint32_t k = 0; k < expected->count; k++)
      all = all && unlisted_source(&tables, &expected->members[k]) == NULL;
    if (all) return;
    sleep_ms(10);
  }
}

/* ---- probes ---- */

const cable cables[CABLES] = {{"va", "vb", 9}, {"wa", "wb", 10}, {"xa", "xb", 11}};

static void lay_sources(const cable *along) {
  there_begin();
  for (int k = 1; k < PROBE_SOURCES; k++)
    host_address(along->peer, along->net, PROBE_FIRST_SOURCE + k);
  there_end();
}

void lay_cables(void) {
  host_pair();
  lay_sources(&cables[0]);
  for (size_t i = 1; i < CABLES; i++)
    lay_cable(i);
}

void lay_cable(size_t number) {
  host_cable(cables[number].own, cables[number].peer, cables[number].net);
  lay_sources(&cables[number]);
}

enum { SAYING = 128, SAYINGS = 256 };

static void saying(char *text, const char *interface, const mctx_address *source, const mctx_address *group) {
  snprintf(text, SAYING, "%s from %s to %s", interface, text_of(source), text_of(group));
}

void probe(uint32_t family, uint32_t groups) {
  char text[SAYING];
  for (size_t i = 0; i < CABLES; i++)
    for (int k = 0; k < PROBE_SOURCES; k++) {
      mctx_address source = unicast_at(family, cables[i].net, PROBE_FIRST_SOURCE + k);
      int sender = sender_there(family, &source, cables[i].peer);
      for (uint32_t g = 1; g <= groups; g++) {
        mctx_address group = group_at(family, g);
        saying(text, cables[i].own, &source, &group);
        send_text(sender, &group, text);
      }
      close(sender);
    }
}

typedef struct sayings {
  uint32_t count;
  char texts[SAYINGS][SAYING];
} sayings;

static int by_text(const void *one, const void *other) {
  return strcmp(one, other);
}

static const model_member *member_for(const model *expected, const char *interface, const mctx_address *group) {
  for (uint32_t i = 0; i < expected->count; i++)
    if (strcmp(expected->members[i].interface, interface) == 0 &&
        is_same_host(&expected->members[i].group, group))
      return &expected->members[i];
  return NULL;
}

static void expect_sayings(sayings *all, uint32_t family, uint32_t groups, const model *expected) {
  for (size_t i = 0; i < CABLES; i++)
    for (int k = 0; k < PROBE_SOURCES; k++)
      for (uint32_t g = 1; g <= groups; g++) {
        mctx_address source = unicast_at(family, cables[i].net, PROBE_FIRST_SOURCE + k);
        mctx_address group = group_at(family, g);
        const model_member *joined = member_for(expected, cables[i].own, &group);
        if (joined != NULL && passes(joined, &source))
          saying(all->texts[all->count++], cables[i].own, &source, &group);
      }
  qsort(all->texts, all->count, SAYING, by_text);
}

/* What it says itself is what the library tells of it. */
static void hear(sayings *all, const taken *got) {
  char told[SAYING];
  char name[IF_NAMESIZE] = "?";
  char *text = all->texts[all->count++];
  assert_in_range(all->count, 1, SAYINGS);
  assert_in_range(got->length, 1, SAYING - 1);
  memcpy(text, got->data, got->length);
  text[got->length] = '\0';
  assert_int_equal(got->message.present & (MCTX_META_SOURCE | MCTX_META_GROUP),
                   MCTX_META_SOURCE | MCTX_META_GROUP);
  if_indextoname(got->message.interface_index, name);
  saying(told, name, &got->message.source, &got->message.group);
  assert_string_equal(told, text);
}

void assert_hears(mctx_subscription subscription, uint32_t family, uint32_t groups, const model *expected) {
  static sayings wanted;
  static sayings heard;
  static taken got;
  wanted.count = heard.count = 0;
  expect_sayings(&wanted, family, groups, expected);
  while (take_next(subscription, &got, heard.count < wanted.count ? PATIENCE_MS : QUIET_MS))
    hear(&heard, &got);
  qsort(heard.texts, heard.count, SAYING, by_text);
  for (uint32_t i = 0; i < wanted.count && i < heard.count; i++)
    assert_string_equal(heard.texts[i], wanted.texts[i]);
  assert_int_equal(heard.count, wanted.count);
}
