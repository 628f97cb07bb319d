/* SPDX-License-Identifier: MIT */
/* Events: sources that go and change under open publications. */
#include "publication.h"

#include "sim_context.h"

static uint32_t take(mctx_handle handle, mctx_event *events, uint32_t capacity) {
  uint32_t count = 77;
  assert_ok(mctx_events(handle, events, sizeof *events, capacity, &count, NULL));
  return count;
}

/* Replaces the one IPv4 address of eth0. */
static void move_to(const char *from, const char *to) {
  mctx_address old = address_of(from), new = address_of(to);
  assert_true(mctx_sim_address_remove(2, &old));
  assert_true(mctx_sim_address_add(2, &new));
}

static void a_source_that_the_system_chose_is_chosen_again(void **state) {
  (void)state;
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  assert_ok(mctx_send(publication, "x", 1, NULL));
  move_to("10.0.0.1", "10.0.0.7/24");
  mctx_sim_wire_clear();
  int64_t before = mctx_sim_now();
  assert_ok(mctx_send(publication, "x", 1, NULL));
  mctx_sim_datagram datagram = wire_at(0);
  datagram.source.port = 0;
  assert_address(&datagram.source, "10.0.0.7");
  mctx_event events[4];
  assert_int_equal(take(publication, events, 4), 1);
  assert_int_equal(events[0].type, MCTX_EVENT_SOURCE_CHANGED);
  assert_int_equal(events[0].handle, publication);
  events[0].address.port = 0;
  assert_address(&events[0].address, "10.0.0.7");
  assert_true(events[0].time_ns > before);
  assert_int_equal(take(publication, events, 4), 0);
  assert_int_equal(info_of(publication).connected, 1);
}

static void a_batch_goes_on_from_the_new_source(void **state) {
  (void)state;
  enum { COUNT = 100 };
  static mctx_slice slices[COUNT];
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  uint64_t accepted;
  move_to("10.0.0.1", "10.0.0.7/24");
  assert_ok(mctx_send_batch(publication, slices, COUNT, 0, 0, &accepted, NULL));
  assert_int_equal(accepted, COUNT);
  assert_int_equal(mctx_sim_wire_count(), COUNT);
}

static void a_source_that_the_user_named_and_that_went_is_an_error(void **state) {
  (void)state;
  for (int connected = 0; connected < 2; connected++)
    for (int by_interface = 0; by_interface < 2; by_interface++) {
      mctx_publication_options options = options_for("239.1.1.1:5000");
      options.connected = connected;
      if (by_interface) {
        options.outgoing_interface.by = MCTX_INTERFACE_BY_ADDRESS;
        options.outgoing_interface.address = address_of("10.0.0.1");
      } else {
        options.source = address_of("10.0.0.1");
      }
      mctx_publication publication = open_with(context, &options);
      move_to("10.0.0.1", "10.0.0.7/24");
      mctx_event events[4];
      for (int i = 0; i < 3; i++) {
        mctx_error error = MCTX_ERROR_INIT;
        mctx_status status = mctx_send(publication, "x", 1, &error);
        assert_int_equal(mctx_status_kind(status), MCTX_KIND_NETWORK);
        if (!by_interface) assert_status(status, MCTX_ERR_SOURCE_GONE);
        assert_non_null(strstr(error.message, "10.0.0.1 "));
        assert_true(strlen(error.hint) > 0);
      }
      assert_int_equal(mctx_sim_wire_count(), 0);
      /* reported once */
      assert_int_equal(take(publication, events, 4), 1);
      assert_int_equal(events[0].type, MCTX_EVENT_SOURCE_GONE);
      events[0].address.port = 0;
      assert_address(&events[0].address, "10.0.0.1");
      /* and it comes back */
      move_to("10.0.0.7", "10.0.0.1/24");
      assert_ok(mctx_send(publication, "x", 1, NULL));
      move_to("10.0.0.1", "10.0.0.7/24");
      assert_int_not_equal(mctx_send(publication, "x", 1, NULL), MCTX_OK);
      assert_int_equal(take(publication, events, 4), 1);
      move_to("10.0.0.7", "10.0.0.1/24");
      mctx_sim_wire_clear();
      assert_closed(publication);
    }
}

static void an_unconnected_sender_goes_on_by_itself(void **state) {
  (void)state;
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.connected = 0;
  mctx_publication publication = open_with(context, &options);
  assert_ok(mctx_send(publication, "x", 1, NULL));
  move_to("10.0.0.1", "10.0.0.7/24");
  assert_ok(mctx_send(publication, "x", 1, NULL));
  mctx_event event;
  assert_int_equal(take(publication, &event, 1), 0);
  mctx_sim_datagram datagram = wire_at(1);
  datagram.source.port = 0;
  assert_address(&datagram.source, "10.0.0.7");
}

/* Moves the source to 10.0.0.<number>, where a send notices it. */
static void move_and_send(mctx_publication publication, uint32_t number) {
  static mctx_address now;
  mctx_address next = address_of("10.0.0.0/24");
  if (number <= 2) now = address_of("10.0.0.1");
  next.bytes[3] = (uint8_t)number;
  assert_true(mctx_sim_address_remove(2, &now));
  assert_true(mctx_sim_address_add(2, &next));
  assert_ok(mctx_send(publication, "x", 1, NULL));
  now = next;
}

static void change_source(mctx_publication publication, uint32_t times) {
  for (uint32_t i = 0; i < times; i++)
    move_and_send(publication, i + 2);
  mctx_address last = address_of("10.0.0.0"), first = address_of("10.0.0.1/24");
  last.bytes[3] = (uint8_t)(times + 1);
  assert_true(mctx_sim_address_remove(2, &last));
  assert_true(mctx_sim_address_add(2, &first));
}

/* A sender may stand still between looking where to send and sending: whatever heals meanwhile, what it saw
 * stays as it was. */
static void what_a_sender_looks_at_is_not_rewritten(void **state) {
  (void)state;
  mctx__object *object;
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  assert_ok(mctx__pin(publication, MCTX_HANDLE_PUBLICATION, &object));
  mctx__unpin(object); /* it stays open */
  const mctx__endpoint *seen = atomic_load(&((mctx__publication *)object)->endpoint);
  const mctx__endpoint before = *seen;
  for (uint32_t i = 2; i < 9; i++) {
    move_and_send(publication, i);
    assert_memory_equal(seen, &before, sizeof before);
    assert_ptr_equal(atomic_load(&((mctx__publication *)object)->endpoint), seen);
  }
  mctx_address last = address_of("10.0.0.8"), first = address_of("10.0.0.1/24");
  assert_true(mctx_sim_address_remove(2, &last));
  assert_true(mctx_sim_address_add(2, &first));
}

static void sixteen_are_kept_and_the_rest_counted(void **state) {
  (void)state;
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  mctx_event events[32];
  change_source(publication, 16);
  assert_int_equal(take(publication, events, 32), 16);
  for (uint32_t i = 0; i < 16; i++) {
    assert_int_equal(events[i].type, MCTX_EVENT_SOURCE_CHANGED);
    assert_int_equal(events[i].address.bytes[3], i + 2);
  }

  change_source(publication, 20);
  assert_int_equal(take(publication, events, 32), 17);
  assert_int_equal(events[0].type, MCTX_EVENT_OVERFLOW);
  assert_int_equal(events[0].value, 4);
  assert_int_equal(events[0].handle, publication);
  /* the newest are the ones that were kept, in order */
  for (uint32_t i = 1; i < 17; i++) {
    assert_int_equal(events[i].type, MCTX_EVENT_SOURCE_CHANGED);
    assert_int_equal(events[i].address.bytes[3], i + 5);
  }
  assert_int_equal(take(publication, events, 32), 0);
}

static void events_are_taken_piece_by_piece(void **state) {
  (void)state;
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  mctx_event events[4];
  change_source(publication, 5);
  assert_int_equal(take(publication, NULL, 0), 0);
  assert_int_equal(take(publication, events, 2), 2);
  assert_int_equal(take(publication, events, 2), 2);
  assert_int_equal(take(publication, events, 2), 1);
  assert_int_equal(take(publication, events, 2), 0);
}

static void a_context_hands_out_those_of_its_publications(void **state) {
  (void)state;
  mctx_publication one = open_group(context, "239.1.1.1:5000");
  mctx_publication two = open_group(context, "239.1.1.2:5000");
  mctx_event events[4];
  move_to("10.0.0.1", "10.0.0.7/24");
  assert_ok(mctx_send(two, "x", 1, NULL));
  assert_ok(mctx_send(one, "x", 1, NULL));
  assert_int_equal(take(context, events, 4), 2);
  assert_int_equal(events[0].handle, one);
  assert_int_equal(events[1].handle, two);
  assert_int_equal(take(one, events, 4), 0);
  mctx_interface_list list;
  uint32_t count = 77;
  assert_ok(mctx_interface_list_open(&list, NULL));
  assert_status(mctx_events(list, events, sizeof events[0], 4, &count, NULL), MCTX_ERR_WRONG_HANDLE);
  assert_int_equal(count, 0);
  assert_closed(list);
}

static void shorter_and_longer_events_are_written(void **state) {
  (void)state;
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  for (uint32_t stride = 8; stride <= sizeof(mctx_event) + 16; stride += 8) {
    unsigned char bytes[3 * (sizeof(mctx_event) + 16)];
    uint32_t count, type;
    change_source(publication, 2);
    memset(bytes, 0xa5, sizeof bytes);
    assert_ok(mctx_events(publication, (void *)bytes, stride, 2, &count, NULL));
    assert_int_equal(count, 2);
    for (uint32_t i = 0; i < 2; i++) {
      memcpy(&type, bytes + (size_t)i * stride, sizeof type);
      assert_int_equal(type, MCTX_EVENT_SOURCE_CHANGED);
      for (uint32_t k = sizeof(mctx_event); k < stride; k++)
        assert_int_equal(bytes[i * stride + k], 0);
    }
    assert_int_equal(bytes[2 * stride], 0xa5);
  }
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      context_test(a_source_that_the_system_chose_is_chosen_again),
      context_test(a_batch_goes_on_from_the_new_source),
      context_test(a_source_that_the_user_named_and_that_went_is_an_error),
      context_test(an_unconnected_sender_goes_on_by_itself),
      context_test(what_a_sender_looks_at_is_not_rewritten),
      context_test(sixteen_are_kept_and_the_rest_counted),
      context_test(events_are_taken_piece_by_piece),
      context_test(a_context_hands_out_those_of_its_publications),
      context_test(shorter_and_longer_events_are_written),
  };
  return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
