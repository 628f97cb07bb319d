/* SPDX-License-Identifier: MIT */
/* JSON: variables filled in, expectations compared, canonical text. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"

/* ---- variables ---- */

static value *fill_text(run *r, document *doc, const char *from, const char **missing) {
  size_t length = strlen(from);
  const char *open = strstr(from, "${");
  if (open == NULL) return yyjson_mut_strcpy(doc, from);
  text filled = {0};
  value *whole = NULL;
  while (open != NULL) {
    const char *close = strchr(open, '}');
    if (close == NULL) break;
    char name[64] = "";
    size_t name_length = (size_t)(close - open) - 2;
    if (name_length < sizeof name) memcpy(name, open + 2, name_length);
    value *content = variable_get(r, name);
    if (content == NULL) {
      *missing = yyjson_mut_get_str(yyjson_mut_strcpy(doc, name));
      text_free(&filled);
      return NULL;
    }
    if (open == from && close == from + length - 1 && filled.length == 0) {
      whole = yyjson_mut_val_mut_copy(doc, content);
      break;
    }
    text_add(&filled, from, (size_t)(open - from));
    if (yyjson_mut_is_str(content)) {
      text_add(&filled, yyjson_mut_get_str(content), yyjson_mut_get_len(content));
    } else {
      canonical(content, &filled);
    }
    length -= (size_t)(close + 1 - from);
    from = close + 1;
    open = strstr(from, "${");
  }
  if (whole == NULL) {
    text_add(&filled, from, length);
    whole = yyjson_mut_strcpy(doc, text_get(&filled));
  }
  text_free(&filled);
  return whole;
}

value *substitute(run *r, document *doc, json *from, const char **missing) {
  if (yyjson_is_str(from)) return fill_text(r, doc, yyjson_get_str(from), missing);
  if (yyjson_is_arr(from)) {
    value *list = yyjson_mut_arr(doc);
    size_t position, count;
    json *item;
    yyjson_arr_foreach(from, position, count, item) {
      value *made = substitute(r, doc, item, missing);
      if (made == NULL) return NULL;
      yyjson_mut_arr_append(list, made);
    }
    return list;
  }
  if (yyjson_is_obj(from)) {
    value *object = yyjson_mut_obj(doc);
    size_t position, count;
    json *key, *item;
    yyjson_obj_foreach(from, position, count, key, item) {
      value *made = substitute(r, doc, item, missing);
      if (made == NULL) return NULL;
      yyjson_mut_obj_add(object, yyjson_mut_strcpy(doc, yyjson_get_str(key)), made);
    }
    return object;
  }
  return yyjson_val_mut_copy(doc, from);
}

/* ---- canonical text ---- */

static void canonical_text(const char *from, size_t length, text *to) {
  text_add(to, "\"", 1);
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)from[i];
    if (byte == '"' || byte == '\\') {
      text_print(to, "\\%c", byte);
    } else if (byte < 0x20) {
      text_print(to, "\\u%04x", byte);
    } else {
      text_add(to, from + i, 1);
    }
  }
  text_add(to, "\"", 1);
}

static int compare_keys(const void *left, const void *right) {
  return strcmp(yyjson_mut_get_str(*(value *const *)left), yyjson_mut_get_str(*(value *const *)right));
}

static void canonical_object(value *from, text *to) {
  size_t count = yyjson_mut_obj_size(from);
  value **keys = calloc(count + 1, sizeof *keys);
  if (keys == NULL) return;
  size_t position, size;
  value *key, *item;
  yyjson_mut_obj_foreach(from, position, size, key, item) keys[position] = key;
  qsort(keys, count, sizeof *keys, compare_keys);
  text_add(to, "{", 1);
  for (size_t i = 0; i < count; i++) {
    if (i != 0) text_add(to, ",", 1);
    canonical_text(yyjson_mut_get_str(keys[i]), yyjson_mut_get_len(keys[i]), to);
    text_add(to, ":", 1);
    canonical(yyjson_mut_obj_iter_get_val(keys[i]), to);
  }
  text_add(to, "}", 1);
  free(keys);
}

void canonical(value *from, text *to) {
  if (yyjson_mut_is_obj(from)) {
    canonical_object(from, to);
  } else if (yyjson_mut_is_arr(from)) {
    text_add(to, "[", 1);
    size_t position, count;
    value *item;
    yyjson_mut_arr_foreach(from, position, count, item) {
      if (position != 0) text_add(to, ",", 1);
      canonical(item, to);
    }
    text_add(to, "]", 1);
  } else if (yyjson_mut_is_str(from)) {
    canonical_text(yyjson_mut_get_str(from), yyjson_mut_get_len(from), to);
  } else if (yyjson_mut_is_int(from)) {
    text_print(to, "%" PRId64, yyjson_mut_get_sint(from));
  } else {
    text_print(to, "%s", yyjson_mut_is_null(from) ? "null" : yyjson_mut_get_bool(from) ? "true" : "false");
  }
}

/* ---- comparison ---- */

/* A number, or a string that holds one. */
static bool as_number(value *from, int64_t *number) {
  if (yyjson_mut_is_int(from)) {
    *number = yyjson_mut_get_sint(from);
    return true;
  }
  if (!yyjson_mut_is_str(from) || yyjson_mut_get_len(from) == 0) return false;
  char *end = NULL;
  *number = (int64_t)strtoull(yyjson_mut_get_str(from), &end, 10);
  return *end == '\0';
}

static bool equal(value *left, value *right) {
  text a = {0};
  text b = {0};
  canonical(left, &a);
  canonical(right, &b);
  bool same = strcmp(text_get(&a), text_get(&b)) == 0;
  text_free(&a);
  text_free(&b);
  return same;
}

static bool in_list(document *doc, value *list, value *actual, bool list_is_expected) {
  size_t position, count;
  value *item;
  yyjson_mut_arr_foreach(list, position, count, item) {
    text ignored = {0};
    bool found = list_is_expected ? matches(doc, item, actual, &ignored) : matches(doc, actual, item, &ignored);
    text_free(&ignored);
    if (found) return true;
  }
  return false;
}

static bool predicate_holds(document *doc, const char *name, value *operand, value *actual) {
  int64_t left = 0;
  int64_t right = 0;
  if (strcmp(name, "$any") == 0) return yyjson_mut_get_bool(operand) == (actual != NULL);
  if (actual == NULL) return false;
  if (strcmp(name, "$not") == 0) return !equal(operand, actual);
  if (strcmp(name, "$one_of") == 0) return in_list(doc, operand, actual, true);
  if (strcmp(name, "$contains") == 0) {
    if (yyjson_mut_is_str(actual)) {
      return yyjson_mut_is_str(operand) &&
             strstr(yyjson_mut_get_str(actual), yyjson_mut_get_str(operand)) != NULL;
    }
    return yyjson_mut_is_arr(actual) && in_list(doc, actual, operand, false);
  }
  if (strcmp(name, "$length") == 0) {
    size_t length = yyjson_mut_is_arr(actual) ? yyjson_mut_arr_size(actual) : yyjson_mut_get_len(actual);
    return as_number(operand, &right) && (int64_t)length == right;
  }
  if (!as_number(actual, &left) || !as_number(operand, &right)) return false;
  if (strcmp(name, "$gt") == 0) return left > right;
  if (strcmp(name, "$ge") == 0) return left >= right;
  if (strcmp(name, "$lt") == 0) return left < right;
  return strcmp(name, "$le") == 0 && left <= right;
}

static bool is_payload(value *from) {
  return yyjson_mut_obj_get(from, "hex") || yyjson_mut_obj_get(from, "text") ||
         yyjson_mut_obj_get(from, "fill");
}

static bool matches_object(document *doc, value *expected, value *actual, text *where) {
  if (is_payload(expected) && yyjson_mut_is_str(actual)) {
    call reader = {.doc = doc};
    mctx_slice payload = value_payload(&reader, expected);
    value *made = make_payload(doc, payload.data, (size_t)payload.length);
    payloads_free(&payload, 0);
    return equal(made, actual);
  }
  size_t position, count;
  value *key, *item;
  yyjson_mut_obj_foreach(expected, position, count, key, item) {
    const char *name = yyjson_mut_get_str(key);
    if (name[0] == '$') {
      if (!predicate_holds(doc, name, item, actual)) return false;
      continue;
    }
    if (!yyjson_mut_is_obj(actual)) return false;
    size_t before = where->length;
    text_print(where, ".%s", name);
    if (!matches(doc, item, yyjson_mut_obj_get(actual, name), where)) return false;
    text_cut(where, before);
  }
  return true;
}

bool matches(document *doc, value *expected, value *actual, text *where) {
  if (yyjson_mut_is_obj(expected)) return matches_object(doc, expected, actual, where);
  if (actual == NULL) return false;
  if (!yyjson_mut_is_arr(expected)) return equal(expected, actual);
  if (!yyjson_mut_is_arr(actual) || yyjson_mut_arr_size(actual) != yyjson_mut_arr_size(expected)) return false;
  size_t position, count;
  value *item;
  yyjson_mut_arr_foreach(expected, position, count, item) {
    size_t before = where->length;
    text_print(where, ".%zu", position);
    if (!matches(doc, item, yyjson_mut_arr_get(actual, position), where)) return false;
    text_cut(where, before);
  }
  return true;
}
