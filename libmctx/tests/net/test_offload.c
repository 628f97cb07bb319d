/* SPDX-License-Identifier: MIT */
/* Superpackets are nobody's business but the sender's: with offload on and off, over a loopback, a cable that
 * keeps them whole and one that cuts them in software, receivers of every kind get the datagrams that were
 * sent, one by one, byte for byte and in order, whatever their lengths and wherever they lay. MCTX_SEED repeats
 * a run. */
#include <stdio.h>
#include <string.h>

#include "host/audience.h"
#include "host/program.h"
#include "host/sequence.h"

/* ---- paths ---- */

typedef enum path { ON_LO, ON_A_CABLE, CUT_IN_SOFTWARE, PATHS } path;

typedef struct variant {
  const char *name;
  path where;
  uint32_t family;
  int32_t offload;
} variant;

static void lay(path where) {
  if (where == ON_LO) {
    host_alone();
    return;
  }
  host_pair();
  if (where == ON_A_CABLE) return;
  if (!host_has("ethtool") || !host_try("ethtool -K va tx-checksumming off >/dev/null 2>&1"))
    SKIP("ethtool is not there, or cannot switch the checksums of a cable");
  (void)host_try("ethtool -K va tx-udp-segmentation off >/dev/null 2>&1");
}

/* ---- one publication, receivers on both sides ---- */

typedef struct course {
  const variant *how;
  uint64_t random;
  mctx_context context;
  mctx_publication publication;
  int32_t loopback;
  audience local;
  audience remote;
  uint64_t room;
  uint64_t sent; /* datagrams in all */
  sequence sequence;
} course;

static const char *interface_of(const course *own) {
  return own->how->where == ON_LO ? "lo" : "va";
}

/* With or without a source that the user named, connected or not: each is another way to name the
 * destination. */
static void open_publication(course *own) {
  mctx_publication_options options = options_through(group_of(own->how->family), interface_of(own));
  own->loopback = (int32_t)random_below(&own->random, 2);
  options.loopback = own->loopback;
  options.offload = own->how->offload;
  options.connected = (int32_t)random_below(&own->random, 2);
  options.send_buffer = 4 << 20;
  if (own->how->where != ON_LO && random_below(&own->random, 2) == 0)
    options.source = unicast_at(own->how->family, 9, 1);
  own->publication = open_with(own->context, &options);
  mctx_publication_info info = info_of(own->publication);
  assert_int_equal(info.offload, own->how->offload);
  assert_true(own->how->offload ? info.segment_count_limit >= 64 : info.segment_count_limit == 1);
  assert_int_equal(info.offload_status, 0);
}

static void course_begin(course *own, const variant *how, uint32_t kinds, uint64_t seed) {
  memset(own, 0, sizeof *own);
  own->how = how;
  own->random = seed;
  own->context = open_context();
  sequence_init(&own->sequence, seed);
  open_publication(own);
  bool is_alone = how->where == ON_LO;
  audience_join(&own->remote, group_of(how->family), is_alone ? "lo" : "vb", kinds, !is_alone);
  if (!is_alone) audience_join(&own->local, group_of(how->family), "va", kinds, false);
  own->room = audience_room(&own->remote);
  if (!is_alone && audience_room(&own->local) < own->room) own->room = audience_room(&own->local);
}

static void course_end(course *own) {
  assert_all_heard(&own->remote);
  assert_all_heard(&own->local);
  assert_int_equal(metric_of(own->publication, MCTX_HANDLE_PUBLICATION, "packets_sent"), own->sent);
  uint64_t superpackets = metric_of(own->publication, MCTX_HANDLE_PUBLICATION, "superpackets_sent");
  assert_int_equal(superpackets > 0, own->how->offload);
  audience_leave(&own->remote);
  audience_leave(&own->local);
  assert_int_equal(metric_of(own->context, MCTX_HANDLE_CONTEXT, "total_superpackets_sent"), superpackets);
  assert_ok(mctx_close(own->context, NULL));
  sequence_free(&own->sequence);
}

/* ---- what is sent ---- */

/* So many datagrams of that length, as far as the receivers have room for them. */
static void add(course *own, uint64_t *spent, uint32_t count, uint32_t length, layout how) {
  for (uint32_t i = 0; i < count; i++) {
    if (*spent + cost_in_buffers(length) > own->room || !sequence_takes(&own->sequence, length)) return;
    sequence_add(&own->sequence, length, how);
    *spent += cost_in_buffers(length);
  }
}

static uint32_t largest(const course *own) {
  return own->how->family == 4 ? 65507 : 65527;
}

/* A few datagrams that belong together: equal ones, with a shorter or longer one behind, of every sort that
 * makes a difference. */
static void add_run(course *own, uint64_t *spent, layout how) {
  static const uint32_t usual[] = {1, 64, 200, 1000, 1200, 1452, 1472};
  uint64_t *random = &own->random;
  uint32_t length = usual[random_below(random, 7)];
  switch (random_below(random, 8)) {
    case 0: /* any lengths */
      for (uint32_t i = random_below(random, 30); i > 0; i--)
        add(own, spent, 1, random_below(random, 1600), how);
      break;
    case 1:
      add(own, spent, 1 + random_below(random, 5), 0, how);
      break;
    case 2: /* fragments, off lo */
      add(own, spent, 1 + random_below(random, 8), 1473 + random_below(random, 8000), how);
      break;
    case 3:
      add(own, spent, 1, random_below(random, 2) == 0 ? largest(own) : 30000 + random_below(random, 35000),
          how);
      break;
    case 4: /* as many as a superpacket takes, one less or more */
      add(own, spent, 63 + random_below(random, 3) + 64 * random_below(random, 2), length, how);
      break;
    default:
      add(own, spent, 1 + random_below(random, 150), length, how);
      if (random_below(random, 2) == 0) add(own, spent, 1, random_below(random, length), how);
  }
}

static void send_slices(course *own, uint32_t first) {
  const uint32_t count = own->sequence.count - first;
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted = 0;
  mctx_status status =
      mctx_send_batch(own->publication, own->sequence.slices + first, count, 0, 10 * SECOND, &accepted, &error);
  if (status != MCTX_OK)
    fail_msg("%s at %u of %u: %s", mctx_status_name(status), (unsigned)accepted, count, error.message);
  assert_int_equal(accepted, count);
}

/* Equal ones in one buffer, the last one shorter or not. */
static void send_pieces(course *own, uint64_t *spent) {
  static const uint32_t usual[] = {1, 7, 64, 200, 1200, 1472, 2000, 9000};
  sequence *all = &own->sequence;
  uint32_t first = all->count;
  uint32_t size = usual[random_below(&own->random, 8)];
  uint64_t accepted = 0;
  add(own, spent, 1 + random_below(&own->random, 200), size, CONTIGUOUS);
  if (all->count == first) return;
  if (size > 1 && random_below(&own->random, 2) == 0)
    add(own, spent, 1, 1 + random_below(&own->random, size - 1), CONTIGUOUS);
  const unsigned char *data = all->slices[first].data;
  const size_t length = (size_t)(all->memory + all->bytes - data);
  assert_ok(mctx_send_segments(own->publication, data, length, size, 0, 10 * SECOND, &accepted, NULL));
  assert_int_equal(accepted, all->count - first);
}

static void send_one_by_one(course *own, uint32_t first) {
  for (uint32_t i = first; i < own->sequence.count; i++) {
    const mctx_slice *slice = &own->sequence.slices[i];
    assert_ok(mctx_send(own->publication, slice->data, (size_t)slice->length, NULL));
  }
}

static void send_some(course *own, uint64_t *spent) {
  const uint32_t first = own->sequence.count;
  const layout how = (layout)random_below(&own->random, LAYOUTS);
  if (random_below(&own->random, 4) == 0) {
    send_pieces(own, spent);
    return;
  }
  for (uint32_t runs = 1 + random_below(&own->random, 6); runs > 0; runs--)
    add_run(own, spent, how);
  if (random_below(&own->random, 8) == 0)
    send_one_by_one(own, first);
  else
    send_slices(own, first);
}

static void one_round(course *own) {
  uint64_t spent = 0;
  sequence_clear(&own->sequence);
  for (uint32_t acts = 1 + random_below(&own->random, 5); acts > 0; acts--)
    send_some(own, &spent);
  own->sent += own->sequence.count;
  assert_all_hear(&own->remote, own->sequence.slices, own->sequence.count);
  if (own->loopback != 0) assert_all_hear(&own->local, own->sequence.slices, own->sequence.count);
}

/* ---- tests ---- */

/* All kinds at once: who listens decides what the kernel does with a superpacket. And some alone. */
static void what_arrives_is_what_was_sent(void **state) {
  enum { ROUNDS = 12, PUBLICATIONS = 2 };
  static const uint32_t kinds[] = {EVERY_EAR, 1u << PLAIN, 1u << COALESCING, 1u << SUBSCRIBED,
                                   1u << SUBSCRIBED_SINGLY};
  static course own;
  const variant *how = *state;
  uint64_t seed = random_seed();
  const uint32_t *family = &how->family;
  (void)host_family((void *)&family);
  lay(how->where);
  for (uint32_t i = 0; i < PUBLICATIONS * sizeof kinds / sizeof kinds[0]; i++) {
    course_begin(&own, how, kinds[i / PUBLICATIONS], seed + i);
    for (int round = 0; round < ROUNDS; round++)
      one_round(&own);
    course_end(&own);
  }
}

/* That the above looks at superpackets at all: where the path keeps them, they arrive as such. */
static void superpackets_stay_whole_where_they_can(void **state) {
  static course own;
  uint32_t family = host_family(state);
  for (path where = ON_LO; where <= ON_A_CABLE; where++) {
    const variant how = {.where = where, .family = family, .offload = 1};
    uint64_t accepted;
    lay(where);
    course_begin(&own, &how, 1u << COALESCING | 1u << SUBSCRIBED, 1);
    for (layout memory = CONTIGUOUS; memory < LAYOUTS; memory++) {
      sequence_clear(&own.sequence);
      sequence_add_equal(&own.sequence, 64, 200, memory);
      own.sent += 64;
      assert_ok(mctx_send_batch(own.publication, own.sequence.slices, 64, 0, 0, &accepted, NULL));
      assert_all_hear(&own.remote, own.sequence.slices, 64);
      if (own.loopback != 0) assert_all_hear(&own.local, own.sequence.slices, 64);
    }
    assert_int_equal(metric_of(own.publication, MCTX_HANDLE_PUBLICATION, "superpackets_sent"), LAYOUTS);
    assert_int_equal(audience_coalesced(&own.remote, COALESCING), LAYOUTS);
    assert_int_equal(audience_coalesced(&own.remote, SUBSCRIBED), LAYOUTS);
    course_end(&own);
  }
}

/* ---- programs that others wrote ---- */

enum { LINES = 200, LINE = 250 };

static char lines[LINES][LINE];

/* Numbered lines, all of one length but some. */
static uint32_t make_lines(mctx_slice *slices) {
  uint32_t bytes = 0;
  for (uint32_t i = 0; i < LINES; i++) {
    const uint32_t length = i % 50 == 7 ? 40 : LINE;
    memset(lines[i], 'a' + (int)(i % 26), LINE);
    snprintf(lines[i], LINE, "%06u", i);
    lines[i][6] = ' ';
    lines[i][length - 1] = '\n';
    slices[i] = (mctx_slice){.data = lines[i], .length = length};
    bytes += length;
  }
  return bytes;
}

/* Sends a word until the program shows it: nobody tells when it has joined. */
static void await_listening(mctx_publication publication, program *receiver) {
  for (int i = 0; i < 500; i++) {
    assert_ok(mctx_send(publication, "ready\n", 6, NULL));
    if (program_says(receiver, "ready", 10)) return;
  }
  fail_msg("nothing arrived: %s", program_text(receiver));
}

static void assert_text_is(program *receiver, const mctx_slice *slices, uint32_t count) {
  static char expected[1 << 16];
  size_t length = 0;
  for (uint32_t i = 0; i < count; i++) {
    memcpy(expected + length, slices[i].data, (size_t)slices[i].length);
    length += (size_t)slices[i].length;
  }
  expected[length] = '\0';
  assert_true(program_says(receiver, "000199", PATIENCE_MS));
  sleep_ms(50);
  const char *start = strstr(program_text(receiver), "000000");
  assert_non_null(start);
  assert_string_equal(start, expected);
}

static void socat_gets_every_byte_in_order(void **state) {
  static mctx_slice slices[LINES];
  uint32_t family = host_family(state);
  if (!host_has("socat")) SKIP("socat is not there");
  for (path where = ON_A_CABLE; where <= CUT_IN_SOFTWARE; where++) {
    uint64_t accepted = 0;
    lay(where);
    mctx_context context = open_context();
    mctx_publication publication = open_through(context, group_of(family), "va");
    program *receiver =
        family == 4
            ? program_there("socat -u udp4-recv:5007,ip-add-membership=239.7.7.7:10.9.0.2,rcvbuf=400000 -")
            : program_there("socat -u 'udp6-recv:5007,ipv6-join-group=[ff15::7:7]:vb,rcvbuf=400000' -");
    await_listening(publication, receiver);
    sleep_ms(50);
    (void)make_lines(slices);
    for (uint32_t at = 0; at < LINES; at += 50) { /* what its buffer takes */
      assert_ok(mctx_send_batch(publication, slices + at, 50, 0, SECOND, &accepted, NULL));
      sleep_ms(20);
    }
    assert_in_range(metric_of(publication, MCTX_HANDLE_PUBLICATION, "superpackets_sent"), 4, LINES);
    assert_text_is(receiver, slices, LINES);
    program_end(receiver);
    assert_ok(mctx_close(context, NULL));
  }
}

/* On the wire, where superpackets are cut before it: the lengths that tshark reads. */
static void tshark_sees_datagrams_where_they_are_cut_before_the_wire(void **state) {
  enum { FULL = 60, SIZE = 500, LAST = 77 };
  static unsigned char data[FULL * SIZE + LAST];
  uint32_t family = host_family(state);
  uint64_t accepted = 0;
  char wanted[32];
  if (!host_has("tshark")) SKIP("tshark is not there");
  lay(CUT_IN_SOFTWARE);
  program *reader = program_there(
      "env HOME=/tmp tshark -i vb -n -l -Q -f 'udp port 5007' -T fields -E separator='|' "
      "-e udp.dstport -e udp.length -e udp.checksum.status -o udp.check_checksum:TRUE");
  mctx_context context = open_context();
  mctx_publication publication = open_through(context, group_of(family), "va");
  bool is_reading = false;
  for (int i = 0; i < 200 && !is_reading; i++) {
    assert_ok(mctx_send(publication, "x", 1, NULL));
    is_reading = program_says(reader, "5007|9|", 100);
  }
  bool is_forbidden = strstr(program_text(reader), "permission") != NULL;
  if (!is_reading && !is_forbidden) fail_msg("tshark does not read: %s", program_text(reader));
  if (is_reading) {
    assert_ok(mctx_send_segments(publication, data, sizeof data, SIZE, 0, SECOND, &accepted, NULL));
    assert_int_equal(metric_of(publication, MCTX_HANDLE_PUBLICATION, "superpackets_sent"), 1);
    snprintf(wanted, sizeof wanted, "5007|%d|", 8 + LAST);
    assert_true(program_says(reader, wanted, PATIENCE_MS));
    snprintf(wanted, sizeof wanted, "5007|%d|1\n", 8 + SIZE); /* and its checksum is right */
    uint32_t found = 0;
    for (const char *at = program_text(reader); (at = strstr(at, wanted)) != NULL; at++)
      found++;
    if (found != FULL) fail_msg("%u of %d: %s", found, FULL, program_text(reader));
  }
  program_end(reader);
  assert_ok(mctx_close(context, NULL));
  if (is_forbidden) SKIP("tshark may not capture here");
}

static const variant variants[] = {
    {"on lo (IPv4)", ON_LO, 4, 1},
    {"on lo (IPv6)", ON_LO, 6, 1},
    {"on lo without offload (IPv4)", ON_LO, 4, 0},
    {"on lo without offload (IPv6)", ON_LO, 6, 0},
    {"on a cable (IPv4)", ON_A_CABLE, 4, 1},
    {"on a cable (IPv6)", ON_A_CABLE, 6, 1},
    {"on a cable without offload (IPv4)", ON_A_CABLE, 4, 0},
    {"on a cable without offload (IPv6)", ON_A_CABLE, 6, 0},
    {"cut in software (IPv4)", CUT_IN_SOFTWARE, 4, 1},
    {"cut in software (IPv6)", CUT_IN_SOFTWARE, 6, 1},
    {"cut in software without offload (IPv4)", CUT_IN_SOFTWARE, 4, 0},
    {"cut in software without offload (IPv6)", CUT_IN_SOFTWARE, 6, 0},
};

enum { VARIANTS = sizeof variants / sizeof variants[0] };

int main(void) {
  static const struct CMUnitTest others[] = {
      BOTH_FAMILIES(superpackets_stay_whole_where_they_can),
      BOTH_FAMILIES(socat_gets_every_byte_in_order),
      BOTH_FAMILIES(tshark_sees_datagrams_where_they_are_cut_before_the_wire),
  };
  struct CMUnitTest tests[VARIANTS + sizeof others / sizeof others[0]];
  for (size_t i = 0; i < VARIANTS; i++)
    tests[i] = (struct CMUnitTest){variants[i].name, what_arrives_is_what_was_sent, NULL, NULL,
                                   (void *)(uintptr_t)&variants[i]};
  memcpy(tests + VARIANTS, others, sizeof others);
  stay_on_one_processor();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
