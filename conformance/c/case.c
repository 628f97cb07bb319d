/* SPDX-License-Identifier: MIT */
/* Runs the steps of a case: fill in, call, compare, save, write down. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"

bool variable_set(run *r, const char *name, value *content, field_class class) {
  unsigned i = 0;
  while (i < r->variable_count && strcmp(r->variables[i].name, name) != 0)
    i++;
  if (i == MAX_VARIABLES) return false;
  if (i == r->variable_count) {
    r->variables[i].name = yyjson_mut_get_str(yyjson_mut_strcpy(r->doc, name));
    r->variable_count++;
  }
  r->variables[i].content = yyjson_mut_val_mut_copy(r->doc, content);
  r->variables[i].class = class;
  return true;
}

value *variable_get(run *r, const char *name) {
  for (unsigned i = 0; i < r->variable_count; i++) {
    if (strcmp(r->variables[i].name, name) == 0) return r->variables[i].content;
  }
  return NULL;
}

void strand_fail(strand *s, const char *where, const char *format, ...) {
  if (s->where[0] != '\0') return;
  snprintf(s->where, sizeof s->where, "%s", where);
  va_list list;
  va_start(list, format);
  vsnprintf(s->because, sizeof s->because, format, list);
  va_end(list);
}

/* ---- operations ---- */

static const operation *const tables[] = {
    library_operations,      interface_operations, handle_operations, publication_operations, send_operations,
    subscription_operations, receive_operations,   peer_operations,   sim_operations,         flow_operations};

static const operation *operation_find(const char *name) {
  for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
    for (const operation *o = tables[i]; o->name != NULL; o++) {
      if (strcmp(o->name, name) == 0) return o;
    }
  }
  return NULL;
}

/* ---- comparing ---- */

void out_prepare(void *memory, size_t size) {
  memset(memory, 0xa5, size);
}

void out_check(call *c, const void *memory, size_t size) {
  const unsigned char *bytes = memory;
  for (size_t i = 0; c->status != MCTX_OK && i < size; i++) {
    if (bytes[i] == 0) continue;
    strand_fail(c->strand, "out", "%s failed and left an out-parameter that is not zero",
                mctx_status_name(c->status));
    return;
  }
}

static value *make_error(call *c) {
  static const char *const retries[] = {"never", "when_ready", "after_delay", "after_change"};
  value *made = yyjson_mut_obj(c->doc);
  yyjson_mut_obj_add_strcpy(c->doc, made, "kind", mctx_kind_name(mctx_status_kind(c->status)));
  yyjson_mut_obj_add_strcpy(c->doc, made, "code", mctx_status_name(c->status));
  yyjson_mut_obj_add_strcpy(c->doc, made, "field", c->error.field);
  yyjson_mut_obj_add_val(c->doc, made, "item", make_i64(c->doc, c->error.status == 0 ? -1 : c->error.item));
  yyjson_mut_obj_add_val(c->doc, made, "value", make_u64(c->doc, c->error.value));
  yyjson_mut_obj_add_str(c->doc, made, "retry", c->error.retry < 4 ? retries[c->error.retry] : "?");
  yyjson_mut_obj_add_bool(c->doc, made, "delivered_locally",
                          (c->error.flags & MCTX_ERROR_DELIVERED_LOCALLY) != 0);
  yyjson_mut_obj_add_bool(c->doc, made, "hint", c->error.hint[0] != '\0');
  return made;
}

static void compare(strand *s, const char *part, document *doc, value *expected, value *actual) {
  text where = {0};
  text_print(&where, "%s", part);
  if (!matches(doc, expected, actual, &where)) {
    text wanted = {0};
    text found = {0};
    canonical(expected, &wanted);
    canonical(actual, &found);
    strand_fail(s, text_get(&where), "expected %.400s, got %.400s", text_get(&wanted), text_get(&found));
    text_free(&wanted);
    text_free(&found);
  }
  text_free(&where);
}

static void check_status(call *c, json *wanted, value *expected_error) {
  strand *s = c->strand;
  if (wanted == NULL && c->status != MCTX_OK) {
    strand_fail(s, "call", "%s (field '%s'): %s %s", mctx_status_name(c->status), c->error.field,
                c->error.message, c->error.hint);
  } else if (wanted != NULL && c->status == MCTX_OK) {
    strand_fail(s, "error", "it succeeded");
  } else if (wanted != NULL) {
    compare(s, "error", c->doc, expected_error, make_error(c));
  }
}

/* What the header promises of every record. */
static void check_record(call *c, const char *name) {
  strand *s = c->strand;
  mctx_error fresh;
  memset(&fresh, 0, sizeof fresh);
  mctx_error_init(&fresh, sizeof fresh);
  if (c->status == MCTX_OK) {
    if (memcmp(&fresh, &c->error, sizeof fresh) != 0) strand_fail(s, "record", "success touched the record");
    return;
  }
  if (c->error.status == 0) return; /* a call without a record, or one that was asked for NULL */
  if (c->error.status != c->status || c->error.kind != mctx_status_kind(c->status)) {
    strand_fail(s, "record", "it says %s, the call returned %s", mctx_status_name(c->error.status),
                mctx_status_name(c->status));
  }
  if (c->error.operation[0] != '\0' && strcmp(c->error.operation, name) != 0) {
    strand_fail(s, "record", "its operation is %s", c->error.operation);
  }
}

/* ---- saving ---- */

static value *member(value *from, const char *path, char *field, size_t capacity) {
  field[0] = '\0';
  while (from != NULL && *path != '\0') {
    char name[64];
    size_t length = strcspn(path, ".");
    snprintf(name, sizeof name, "%.*s", (int)length, path);
    path += path[length] == '.' ? length + 1 : length;
    if (yyjson_mut_is_arr(from)) {
      from = yyjson_mut_arr_get(from, (size_t)strtoul(name, NULL, 10));
      continue;
    }
    from = yyjson_mut_obj_get(from, name);
    size_t used = strlen(field);
    snprintf(field + used, capacity - used, "%s%s", used ? "." : "", name);
  }
  return from;
}

static void number_handle(run *r, value *content) {
  uint64_t handle = strtoull(yyjson_mut_get_str(content), NULL, 10);
  for (unsigned i = 0; i < r->numbered_count; i++) {
    if (r->numbered[i] == handle) return;
  }
  if (r->numbered_count < MAX_VARIABLES) r->numbered[r->numbered_count++] = handle;
}

static void save(call *c, json *wanted) {
  size_t position, count;
  json *key, *item;
  yyjson_obj_foreach(wanted, position, count, key, item) {
    char field[160];
    value *content = member(c->results, yyjson_get_str(item), field, sizeof field);
    if (content == NULL) {
      strand_fail(c->strand, "save", "no result %s", yyjson_get_str(item));
      return;
    }
    field_class class = field_class_of(field);
    if (class == FIELD_HANDLE) number_handle(c->run, content);
    if (!variable_set(c->run, yyjson_get_str(key), content, class)) {
      strand_fail(c->strand, "save", "too many variables");
    }
  }
}

/* ---- the transcript ---- */

static void write_line(call *c, json *step) {
  strand *s = c->strand;
  value *line = yyjson_mut_obj(c->doc);
  yyjson_mut_obj_add_strcpy(c->doc, line, "case", c->run->name);
  if (s->name != NULL) yyjson_mut_obj_add_strcpy(c->doc, line, "thread", s->name);
  yyjson_mut_obj_add_uint(c->doc, line, "step", s->step);
  yyjson_mut_obj_add_strcpy(c->doc, line, "op", yyjson_get_str(yyjson_obj_get(step, "op")));
  if (c->status != MCTX_OK) {
    yyjson_mut_obj_add_val(c->doc, line, "error", transcript_value(c->run, c->doc, make_error(c), "error"));
  }
  yyjson_mut_obj_add_val(c->doc, line, "result", transcript_value(c->run, c->doc, c->results, ""));
  canonical(line, &s->transcript);
  text_add(&s->transcript, "\n", 1);
}

/* ---- steps ---- */

static void step_run(strand *s, json *step) {
  const operation *o = operation_find(yyjson_get_str(yyjson_obj_get(step, "op")));
  json *wanted_error = yyjson_obj_get(step, "error");
  json *wanted = yyjson_obj_get(step, "expect");
  if (o == NULL) {
    strand_fail(s, "step", "unknown operation");
    return;
  }
  call c = {.strand = s, .run = s->run, .doc = s->doc, .step = step, .results = yyjson_mut_obj(s->doc)};
  mctx_error_init(&c.error, sizeof c.error);
  const char *missing = NULL;
  pthread_mutex_lock(&s->run->lock);
  json *given = yyjson_obj_get(step, "args");
  c.args = given == NULL ? yyjson_mut_obj(s->doc) : substitute(s->run, s->doc, given, &missing);
  value *expected_error = wanted_error == NULL ? NULL : substitute(s->run, s->doc, wanted_error, &missing);
  value *expected = wanted == NULL ? NULL : substitute(s->run, s->doc, wanted, &missing);
  pthread_mutex_unlock(&s->run->lock);
  if (missing != NULL) {
    strand_fail(s, "step", "no variable %s", missing);
    return;
  }
  o->run(&c);
  if (c.invalid) return;
  check_status(&c, wanted_error, expected_error);
  check_record(&c, o->name);
  if (expected != NULL && s->where[0] == '\0') compare(s, "expect", s->doc, expected, c.results);
  if (s->where[0] != '\0') return;
  pthread_mutex_lock(&s->run->lock);
  if (c.status == MCTX_OK) save(&c, yyjson_obj_get(step, "save"));
  if (s->where[0] == '\0') write_line(&c, step);
  pthread_mutex_unlock(&s->run->lock);
}

void strand_run(strand *s) {
  size_t position, count;
  json *step;
  yyjson_arr_foreach(s->steps, position, count, step) {
    s->step = position + 1;
    step_run(s, step);
    if (s->where[0] != '\0') return;
  }
}

/* ---- cases ---- */

static void join_threads(run *r, strand *main_strand) {
  for (unsigned i = 0; i < r->thread_count; i++) {
    strand *s = r->threads[i];
    if (s->started) {
      pthread_join(s->thread, NULL);
      strand_fail(main_strand, "threads", "thread %s was not joined", s->name);
    }
    yyjson_mut_doc_free(s->doc);
    text_free(&s->transcript);
    free(s);
  }
}

/* Newest first, so that a publication goes before its context. Closed ones answer so, which is fine. */
static void close_all(run *r) {
  while (r->opened_count != 0)
    (void)mctx_close(r->opened[--r->opened_count].handle, NULL);
}

void case_run(const char *name, json *definition, text *transcript, outcome *result) {
  run *r = calloc(1, sizeof *r);
  if (r == NULL) exit(99);
  r->name = name;
  r->doc = yyjson_mut_doc_new(NULL);
  pthread_mutex_init(&r->lock, NULL);
  pthread_cond_init(&r->changed, NULL);
  sim_case_begin();
  uint64_t before = resources_held();
  uint64_t misuses = sim_misuses();
  variable_set(r, "lo", yyjson_mut_strcpy(r->doc, loopback_name()), FIELD_EXACT);
  variable_set(r, "lo_index", yyjson_mut_uint(r->doc, loopback_index()), FIELD_INDEX);

  strand s = {.run = r, .steps = yyjson_obj_get(definition, "steps"), .doc = yyjson_mut_doc_new(NULL)};
  strand_run(&s);
  if (s.where[0] != '\0') close_all(r); /* lets waiting threads go */
  join_threads(r, &s);
  close_all(r);
  peers_close(r);
  uint64_t after = resources_held();
  if (after != before) {
    strand_fail(&s, "leak", "%llu descriptors before, %llu after", (unsigned long long)before,
                (unsigned long long)after);
  }
  if (sim_misuses() != misuses) strand_fail(&s, "leak", "what was not open was used");
  text_add(transcript, text_get(&s.transcript), s.transcript.length);
  result->failed = s.where[0] != '\0';
  result->step = s.step;
  memcpy(result->where, s.where, sizeof result->where);
  memcpy(result->because, s.because, sizeof result->because);
  text_free(&s.transcript);
  yyjson_mut_doc_free(s.doc);
  yyjson_mut_doc_free(r->doc);
  pthread_mutex_destroy(&r->lock);
  pthread_cond_destroy(&r->changed);
  free(r);
}
