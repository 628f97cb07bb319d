/* SPDX-License-Identifier: MIT */
/* What goes out on the wire when memberships change, as tshark reads it: IGMPv3 (RFC 3376) and MLDv2 (RFC 3810)
 * reports with the right record types, groups and sources. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/program.h"
#include "host/subscription.h"

/* RFC 3376, 4.2.12, and RFC 3810, 5.2.12: the same numbers. */
typedef enum record { TO_INCLUDE = 3, TO_EXCLUDE = 4, ALLOW_NEW = 5, BLOCK_OLD = 6 } record;

/* ---- the reader ---- */

static program *start_reading(uint32_t family) {
  static const char *const fields[] = {"igmp.record_type -e igmp.maddr -e igmp.saddr",
                                       "icmpv6.mldr.mar.record_type -e icmpv6.mldr.mar.multicast_address "
                                       "-e icmpv6.mldr.mar.source_address"};
  program *reader = program_there(
      "env HOME=/tmp tshark -i vb -n -l -Q -f '%s or udp port 9' -T fields -E separator='|' -e udp.dstport -e "
      "%s",
      family == 4 ? "igmp" : "ip6 proto 0", fields[family == 6]);
  mctx_address discard = group_at(family, 99);
  discard.port = 9;
  for (int i = 0; i < 100; i++) { /* until it is at work */
    say(NULL, "va", &discard, "x");
    if (program_says(reader, "9|", 100)) return reader;
  }
  bool forbidden = strstr(program_text(reader), "permission") != NULL;
  if (!forbidden) fail_msg("tshark does not read: %s", program_text(reader));
  program_end(reader);
  SKIP("tshark may not capture here");
  return NULL;
}

/* Whether a line tells of a report with this record for the group alone, with these sources. */
static bool is_report(const char *line, record type, const mctx_address *group, const mctx_address *sources,
                      uint32_t count) {
  char wanted[200];
  int length = snprintf(wanted, sizeof wanted, "|%d|%s|", type, text_of(group));
  for (uint32_t i = 0; i < count; i++) {
    /* the order is the kernel's own */
    const char *found = strstr(line, text_of(&sources[i]));
    if (found == NULL) return false;
  }
  const char *start = strchr(line, '|');
  if (start == NULL || strncmp(start, wanted, (size_t)length) != 0) return false;
  uint32_t listed = 0;
  for (const char *at = start + length; *at != '\0'; at++)
    listed += *at == ',' || at == start + length;
  return listed == count;
}

static uint32_t count_reports(program *reader, record type, const mctx_address *group,
                              const mctx_address *sources, uint32_t count) {
  uint32_t found = 0;
  char *rest = NULL;
  char *text = strdup(program_text(reader));
  for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
    found += is_report(line, type, group, sources, count);
  free(text);
  return found;
}

static void await_report(program *reader, record type, const mctx_address *group, const mctx_address *sources,
                         uint32_t count) {
  for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
    if (count_reports(reader, type, group, sources, count) > 0) return;
    sleep_ms(10);
  }
  fail_msg("no report of type %d for %s with %u sources:\n%s", type, text_of(group), count,
           program_text(reader));
}

/* How many reports there are once no more come: each is said again within a second (RFC 3376, 8.11), later
 * where this machine or the reader is held up. */
static uint32_t count_when_settled(program *reader, record type, const mctx_address *group) {
  enum { SETTLED_MS = 1500, STEP_MS = 50 };
  uint32_t count = 0;
  int quiet_ms = 0;
  for (int waited = 0; waited < PATIENCE_MS && (quiet_ms < SETTLED_MS || count < 2); waited += STEP_MS) {
    sleep_ms(STEP_MS);
    uint32_t now = count_reports(reader, type, group, NULL, 0);
    quiet_ms = now == count ? quiet_ms + STEP_MS : 0;
    count = now;
  }
  return count;
}

/* ---- the tests ---- */

static void changes_are_reported(void **state) {
  uint32_t family = host_family(state);
  if (!host_has("tshark")) SKIP("tshark is not there");
  host_pair();
  program *reader = start_reading(family);
  mctx_context context = open_context();
  mctx_address groups[] = {group_at(family, 1), group_at(family, 2), group_at(family, 3)};
  mctx_address sources[] = {unicast_at(family, 9, 3), unicast_at(family, 9, 4)};
  mctx_membership any = member_of(&groups[0], "va");
  mctx_membership some = member_of(&groups[1], "va");

  /* any source, then without some of them */
  mctx_subscription subscription = subscribe(context, &groups[0], "va");
  await_report(reader, TO_EXCLUDE, &groups[0], NULL, 0);
  assert_ok(mctx_block(subscription, &any, sizeof any, &sources[0], NULL));
  await_report(reader, BLOCK_OLD, &groups[0], &sources[0], 1);
  assert_ok(mctx_allow(subscription, &any, sizeof any, &sources[0], NULL));
  await_report(reader, ALLOW_NEW, &groups[0], &sources[0], 1);

  /* a source, one more, another list, another mode */
  mctx_membership listed = some;
  listed.mode = MCTX_INCLUDE;
  listed.sources = sources;
  listed.source_count = 1;
  assert_ok(mctx_join(subscription, &listed, sizeof listed, 1, NULL));
  await_report(reader, ALLOW_NEW, &groups[1], &sources[0], 1);
  assert_ok(mctx_allow(subscription, &some, sizeof some, &sources[1], NULL));
  await_report(reader, ALLOW_NEW, &groups[1], &sources[1], 1);
  assert_ok(mctx_filter_set(subscription, &listed, sizeof listed, NULL));
  await_report(reader, BLOCK_OLD, &groups[1], &sources[1], 1);
  listed.mode = MCTX_EXCLUDE;
  listed.source_count = 2;
  assert_ok(mctx_filter_set(subscription, &listed, sizeof listed, NULL));
  await_report(reader, TO_EXCLUDE, &groups[1], sources, 2);

  /* leaving */
  leave_group(subscription, &groups[0], NULL);
  await_report(reader, TO_INCLUDE, &groups[0], NULL, 0);
  listed.mode = MCTX_INCLUDE;
  listed.source_count = 1;
  listed.group = groups[2];
  assert_ok(mctx_join(subscription, &listed, sizeof listed, 1, NULL));
  await_report(reader, ALLOW_NEW, &groups[2], &sources[0], 1);
  leave_group(subscription, &groups[2], "va");
  await_report(reader, BLOCK_OLD, &groups[2], &sources[0], 1);
  assert_ok(mctx_close(context, NULL));
  await_report(reader, TO_INCLUDE, &groups[1], NULL, 0);
  program_end(reader);
}

/* A change that changes nothing says nothing: routers and switches are not to be bothered. */
static void nothing_is_reported_twice(void **state) {
  uint32_t family = host_family(state);
  if (!host_has("tshark")) SKIP("tshark is not there");
  host_pair();
  program *reader = start_reading(family);
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_address other = group_at(family, 2);
  mctx_membership member = member_of(&group, "va");
  mctx_subscription subscription = subscribe(context, &group, "va");
  await_report(reader, TO_EXCLUDE, &group, NULL, 0);
  uint32_t before = count_when_settled(reader, TO_EXCLUDE, &group);
  assert_status(mctx_join(subscription, &member, sizeof member, 1, NULL), MCTX_ERR_MEMBERSHIP_EXISTS);
  mctx_subscription second = subscribe(context, &group, "va"); /* the host is a member already */
  join_group(second, &other, "va");
  await_report(reader, TO_EXCLUDE, &other, NULL, 0);
  assert_ok(mctx_close(second, NULL));
  await_report(reader, TO_INCLUDE, &other, NULL, 0);
  assert_int_equal(count_reports(reader, TO_EXCLUDE, &group, NULL, 0), before);
  assert_int_equal(count_reports(reader, TO_INCLUDE, &group, NULL, 0), 0);
  assert_ok(mctx_close(context, NULL));
  await_report(reader, TO_INCLUDE, &group, NULL, 0);
  program_end(reader);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(changes_are_reported),
      BOTH_FAMILIES(nothing_is_reported_twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
