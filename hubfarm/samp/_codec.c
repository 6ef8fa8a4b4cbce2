/* XML-RPC as SAMP uses it, read and written in C: `read` and `write`.

   One pass over a document checks all of it (UTF-8, references, the grammar, depth, sizes, twins) and leaves two
   things: a tape of the values that Python is to get, and, of each map among the parameters, its bytes, fit to be
   pasted into another document.  Those bytes are the document's own wherever they can be; what must not or need not
   go on (comments, CDATA, instructions, attributes, numbers, character references) is written anew.  The pass
   touches no Python object and lets other threads run; then the values on the tape are made.

   One build serves all Pythons from 3.11 on, whichever it was built with.  So no "#" stands in a format: built with
   3.13 or later, it would mean something that Pythons before refuse.

   `hubfarm.samp.expat_reader` reads the same language by expat.  It is the oracle of the tests, and takes this file's
   place where it could not be compiled. */

#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALONE_FROM 16384    /* bytes: shorter documents are read sooner than other threads could be let in */
#define MOST_ATTRIBUTES 16  /* of one element: they mean nothing, but declare a name space for some */
#define LONGEST_MARKUP 65536 /* bytes: one tag, comment or instruction */
#define LONGEST_NUMBER 4000 /* characters */
#define MOST_MEMBERS 10000  /* of a map that Python gets in outline */

/* ------------------------------------------------------------------ characters */

enum { PLAIN = 1, SPACE = 2, NAME_START = 4, NAME_CHAR = 8 };
static unsigned char kinds[256];

static void
fill_kinds(void)
{
    for (int c = 0x20; c < 0x80; c++)
        kinds[c] = PLAIN;
    kinds['<'] = kinds['&'] = kinds['>'] = 0;
    kinds['\t'] = kinds['\n'] = PLAIN | SPACE;
    kinds[' '] |= SPACE;
    kinds['\r'] = SPACE;
    for (int c = 'a'; c <= 'z'; c++) {
        kinds[c] |= NAME_START | NAME_CHAR;
        kinds[c - 'a' + 'A'] |= NAME_START | NAME_CHAR;
    }
    for (int c = '0'; c <= '9'; c++)
        kinds[c] |= NAME_CHAR;
    kinds['_'] |= NAME_START | NAME_CHAR;
    kinds[':'] |= NAME_START | NAME_CHAR;
    kinds['-'] |= NAME_CHAR;
    kinds['.'] |= NAME_CHAR;
}

static inline bool
is_kind(char c, int kind)
{
    return (kinds[(unsigned char)c] & kind) != 0;
}

/* The end of a run of ASCII that stands for itself.  After some characters, 32 at a time: compilers make vectors of it. */
static const char *
skip_plain(const char *at, const char *end)
{
    const char *soon = end - at > 16 ? at + 16 : end;
    while (at < soon && is_kind(*at, PLAIN))
        at++;
    if (at < soon)
        return at;
    while (end - at >= 32) {
        unsigned char odd = 0;
        for (int i = 0; i < 32; i++) {
            unsigned char c = (unsigned char)at[i];
            odd |= (unsigned char)(c >= 0x80) | (unsigned char)((c < 0x20) & (c != '\n') & (c != '\t'))
                   | (unsigned char)(c == '<') | (unsigned char)(c == '&') | (unsigned char)(c == '>');
        }
        if (odd)
            break;
        at += 32;
    }
    while (at < end && is_kind(*at, PLAIN))
        at++;
    return at;
}

/* How many bytes the character beyond ASCII at `at` has; 0 if it is not UTF-8, or none that XML knows. */
static int
size_of_wide(const char *at, const char *end)
{
    const unsigned char *c = (const unsigned char *)at;
    ptrdiff_t left = end - at;
#define FOLLOWS(i) ((c[i] & 0xC0) == 0x80)
    if (c[0] >= 0xC2 && c[0] <= 0xDF)
        return left >= 2 && FOLLOWS(1) ? 2 : 0;
    if (c[0] >= 0xE0 && c[0] <= 0xEF) {
        if (left < 3 || !FOLLOWS(1) || !FOLLOWS(2) || (c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xED && c[1] > 0x9F))
            return 0;
        return c[0] == 0xEF && c[1] == 0xBF && c[2] >= 0xBE ? 0 : 3;
    }
    if (c[0] >= 0xF0 && c[0] <= 0xF4) {
        if (left < 4 || !FOLLOWS(1) || !FOLLOWS(2) || !FOLLOWS(3))
            return 0;
        return (c[0] == 0xF0 && c[1] < 0x90) || (c[0] == 0xF4 && c[1] > 0x8F) ? 0 : 4;
    }
#undef FOLLOWS
    return 0;
}

static bool
is_xml_character(uint32_t code)
{
    return code == '\t' || code == '\n' || code == '\r' || (code >= 0x20 && code < 0xD800)
           || (code >= 0xE000 && code < 0xFFFE) || (code >= 0x10000 && code <= 0x10FFFF);
}

static int
write_utf8(uint32_t code, char *to)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xC0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xE0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 0x3F));
        to[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 0x3F));
    to[2] = (char)(0x80 | (code >> 6 & 0x3F));
    to[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* ------------------------------------------------------------------ memory that is all given back at once */

typedef struct {
    char *data;
    size_t size, room;
} Buffer;

static bool
append(Buffer *buffer, const char *data, size_t size)
{
    if (buffer->room - buffer->size < size) {
        size_t room = (buffer->size + size) * 2 + 64;
        char *grown = realloc(buffer->data, room);
        if (grown == NULL)
            return false;
        buffer->data = grown;
        buffer->room = room;
    }
    if (size)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return true;
}

typedef struct Block {
    struct Block *next;
    char data[];
} Block;

/* ------------------------------------------------------------------ the reader */

typedef enum {
    VALUE, STRING, INT, DOUBLE, BOOLEAN, STRUCT, MEMBER, NAME, ARRAY, DATA, PARAMS, PARAM, FAULT,
    METHOD_CALL, METHOD_NAME, METHOD_RESPONSE, OTHER
} Element;

static const char *const element_names[] = {
    "value", "string", "int", "double", "boolean", "struct", "member", "name", "array", "data", "params", "param",
    "fault", "methodCall", "methodName", "methodResponse"};

typedef enum { TEXT, LIST, MAP, CLOSE } ItemKind;

/* One entry of the tape: a text, or the beginning or end of a list or map.  A map's names are texts between its values. */
typedef struct {
    ItemKind kind;
    const char *text;
    size_t size;
} Item;

typedef struct {
    const char *text;
    size_t size;
    uint64_t hash;
} Name;

/* One parameter: its first item, and for a map in outline its bytes, fit to be pasted. */
typedef struct {
    size_t item;
    const char *xml;
    size_t xml_size;
    char *copy; /* what has to be freed, if those bytes are no piece of the document */
} Param;

typedef struct {
    const char *at, *start, *end;
    int depth;
    size_t longest_string, values_left;
    bool outline;

    Item *items;
    size_t item_count, item_room;
    Param *params;
    size_t param_count, param_room;
    Name *names; /* of all maps that are open, the innermost last */
    size_t name_count, name_room;
    Block *blocks;
    const char *method;
    size_t method_size;
    Element root;
    bool is_fault;

    Buffer scratch; /* the text being read, if it is no piece of the document */

    bool capturing;   /* what is read is part of a map whose bytes are wanted */
    const char *kept; /* up to here it is in `copy` */
    Buffer copy;

    const char *problem; /* NULL, or what is wrong: a key of `hubfarm.samp.refusals` */
    const char *problem_at;
    char what[64], where[64];
} Reader;

static bool
refuse_as(Reader *reader, const char *problem, const char *what, size_t what_size, const char *where)
{
    if (reader->problem == NULL) {
        reader->problem = problem;
        reader->problem_at = reader->at;
        if (what_size >= sizeof reader->what)
            what_size = sizeof reader->what - 1;
        if (what_size)
            memcpy(reader->what, what, what_size);
        reader->what[what_size] = '\0';
        strncpy(reader->where, where, sizeof reader->where - 1);
    }
    return false;
}

static bool
refuse(Reader *reader, const char *problem)
{
    return refuse_as(reader, problem, "", 0, "");
}

static bool
no_memory(Reader *reader)
{
    return refuse(reader, "memory");
}

static bool
malformed(Reader *reader)
{
    return refuse(reader, "malformed");
}

static void *
allot(Reader *reader, size_t size)
{
    Block *block = malloc(sizeof(Block) + size);
    if (block == NULL) {
        no_memory(reader);
        return NULL;
    }
    block->next = reader->blocks;
    reader->blocks = block;
    return block->data;
}

/* Room for one more in an array that grows. */
static bool
make_room(Reader *reader, void **array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return true;
    size_t grown_room = *room * 2 + 16;
    void *grown = realloc(*array, grown_room * size);
    if (grown == NULL)
        return no_memory(reader);
    *array = grown;
    *room = grown_room;
    return true;
}

static bool
put(Reader *reader, int levels, ItemKind kind, const char *text, size_t size)
{
    if (levels < 0)
        return true;
    if (!make_room(reader, (void **)&reader->items, reader->item_count, &reader->item_room, sizeof(Item)))
        return false;
    reader->items[reader->item_count++] = (Item){kind, text, size};
    return true;
}

/* What stands between `from` and here does not go on; `instead` does. */
static bool
replace(Reader *reader, const char *from, const char *instead, size_t size)
{
    if (!reader->capturing)
        return true;
    if (!append(&reader->copy, reader->kept, (size_t)(from - reader->kept)) || !append(&reader->copy, instead, size))
        return no_memory(reader);
    reader->kept = reader->at;
    return true;
}

static bool
replace_by_tag(Reader *reader, const char *from, bool closes, Element element)
{
    char tag[20] = "</";
    size_t start = closes ? 2 : 1, size = strlen(element_names[element]);
    memcpy(tag + start, element_names[element], size);
    tag[start + size] = '>';
    return replace(reader, from, tag, start + size + 1);
}

static inline bool
take(Reader *reader, const char *token, size_t size)
{
    if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, token, size) != 0)
        return false;
    reader->at += size;
    return true;
}

#define TAKE(reader, token) take(reader, token, sizeof(token) - 1)

static void
skip_space(Reader *reader)
{
    while (reader->at < reader->end && is_kind(*reader->at, SPACE))
        reader->at++;
}

/* ------------------------------------------------------------------ markup that means nothing */

/* Go on behind `mark`, over characters that XML knows; `limit` is the most that they may be, bytes. */
static bool
skip_past(Reader *reader, const char *mark, size_t size, size_t limit)
{
    const char *from = reader->at;
    while (!take(reader, mark, size)) {
        if (reader->at == reader->end)
            return malformed(reader);
        unsigned char c = (unsigned char)*reader->at;
        int width = c >= 0x80 ? size_of_wide(reader->at, reader->end) : c >= 0x20 || is_kind((char)c, SPACE);
        if (width == 0)
            return malformed(reader);
        reader->at += width;
        if ((size_t)(reader->at - from) > limit)
            return refuse(reader, "markup");
    }
    return true;
}

static bool
skip_name(Reader *reader)
{
    if (reader->at == reader->end || !is_kind(*reader->at, NAME_START))
        return malformed(reader);
    while (reader->at < reader->end && is_kind(*reader->at, NAME_CHAR))
        reader->at++;
    return true;
}

static bool
skip_comment(Reader *reader) /* behind <!-- */
{
    if (!skip_past(reader, "--", 2, LONGEST_MARKUP))
        return false;
    return TAKE(reader, ">") || malformed(reader);
}

static bool
skip_instruction(Reader *reader) /* behind <? */
{
    const char *target = reader->at;
    if (!skip_name(reader))
        return false;
    if (reader->at - target == 3 && (target[0] | 32) == 'x' && (target[1] | 32) == 'm' && (target[2] | 32) == 'l')
        return malformed(reader);
    if (TAKE(reader, "?>"))
        return true;
    if (reader->at == reader->end || !is_kind(*reader->at, SPACE))
        return malformed(reader);
    return skip_past(reader, "?>", 2, LONGEST_MARKUP);
}

/* One of the five references that XML knows by name, or one by number. */
static bool
read_reference(Reader *reader, uint32_t *code, bool *by_number) /* at & */
{
    *by_number = false;
    if (TAKE(reader, "&amp;"))
        *code = '&';
    else if (TAKE(reader, "&lt;"))
        *code = '<';
    else if (TAKE(reader, "&gt;"))
        *code = '>';
    else if (TAKE(reader, "&quot;"))
        *code = '"';
    else if (TAKE(reader, "&apos;"))
        *code = '\'';
    else if (TAKE(reader, "&#")) {
        bool hexadecimal = TAKE(reader, "x"), digits = false;
        *by_number = true;
        *code = 0;
        for (; reader->at < reader->end && *reader->at != ';'; reader->at++, digits = true) {
            char c = *reader->at;
            uint32_t digit = c >= '0' && c <= '9'                       ? (uint32_t)(c - '0')
                             : hexadecimal && (c | 32) >= 'a' && (c | 32) <= 'f' ? (uint32_t)((c | 32) - 'a' + 10)
                                                                                 : 99;
            if (digit == 99 || *code > 0x10FFFF)
                return malformed(reader);
            *code = *code * (hexadecimal ? 16 : 10) + digit;
        }
        if (!digits || !is_xml_character(*code) || !TAKE(reader, ";"))
            return malformed(reader);
    }
    else
        return malformed(reader);
    return true;
}

static bool
skip_attribute_value(Reader *reader)
{
    char quote = reader->at < reader->end ? *reader->at++ : '\0';
    if (quote != '"' && quote != '\'')
        return malformed(reader);
    while (reader->at < reader->end) {
        char c = *reader->at;
        uint32_t code;
        bool by_number;
        if (c == quote) {
            reader->at++;
            return true;
        }
        int width = is_kind(c, PLAIN | SPACE) || c == '>'                  ? 1
                    : (unsigned char)c >= 0x80 ? size_of_wide(reader->at, reader->end)
                                               : 0;
        if (width)
            reader->at += width;
        else if (c != '&' || !read_reference(reader, &code, &by_number))
            break;
    }
    return malformed(reader);
}

static bool
skip_attributes(Reader *reader, const char *tag, size_t tag_size)
{
    struct {
        const char *text;
        size_t size;
    } seen[MOST_ATTRIBUTES];
    for (int count = 0;; count++) {
        const char *before = reader->at;
        skip_space(reader);
        if (reader->at == reader->end)
            return malformed(reader);
        if (*reader->at == '>' || *reader->at == '/')
            return true;
        if (reader->at == before)
            return malformed(reader);
        const char *name = reader->at;
        if (!skip_name(reader))
            return false;
        size_t size = (size_t)(reader->at - name);
        if (count == MOST_ATTRIBUTES)
            return refuse_as(reader, "attributes", tag, tag_size, "");
        for (int i = 0; i < count; i++)
            if (seen[i].size == size && memcmp(seen[i].text, name, size) == 0)
                return malformed(reader);
        seen[count].text = name;
        seen[count].size = size;
        skip_space(reader);
        if (!TAKE(reader, "="))
            return malformed(reader);
        skip_space(reader);
        if (!skip_attribute_value(reader))
            return false;
    }
}

/* ------------------------------------------------------------------ texts */

typedef struct {
    const char *text;
    size_t size;
} Text;

static bool
keep(Reader *reader, const char *data, size_t size)
{
    return append(&reader->scratch, data, size) || no_memory(reader);
}

static bool
replace_escaped(Reader *reader, const char *from, const char *text, size_t size)
{
    const char *end = text + size;
    if (!replace(reader, from, "", 0))
        return false;
    for (const char *run = text; text < end; run = ++text) {
        while (text < end && *text != '&' && *text != '<' && *text != '>')
            text++;
        const char *escape = text == end ? "" : *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : "&gt;";
        if (reader->capturing
            && (!append(&reader->copy, run, (size_t)(text - run)) || !append(&reader->copy, escape, strlen(escape))))
            return no_memory(reader);
    }
    return true;
}

static bool
read_cdata(Reader *reader, const char *from) /* behind <![CDATA[ */
{
    const char *text = reader->at;
    if (!skip_past(reader, "]]>", 3, SIZE_MAX))
        return false;
    const char *end = reader->at - 3;
    size_t before = reader->scratch.size;
    for (const char *run = text;; run = text) {
        while (text < end && *text != '\r')
            text++;
        if (!keep(reader, run, (size_t)(text - run)))
            return false;
        if (text == end)
            break;
        if (!keep(reader, "\n", 1))
            return false;
        text += text + 1 < end && text[1] == '\n' ? 2 : 1;
    }
    return replace_escaped(reader, from, reader->scratch.data + before, reader->scratch.size - before);
}

/* Character data up to the next tag; what stands in it of comments and instructions is passed over.

   The text that results is a piece of the document, or lies in `scratch` until the next one is read. */
static bool
read_text(Reader *reader, Text *text)
{
    const char *run = reader->at; /* what stands for itself, and is not in `scratch` yet */
    const char *raw = run;        /* since the last markup: what may not hold ]]> */
    bool in_scratch = false;
    reader->scratch.size = 0;
#define LEAVE_RUN() (in_scratch = true, keep(reader, run, (size_t)(reader->at - run)))
    for (;;) {
        reader->at = skip_plain(reader->at, reader->end);
        if (reader->at == reader->end)
            return malformed(reader);
        const char *from = reader->at;
        unsigned char c = (unsigned char)*from;
        if (c >= 0x80) {
            int width = size_of_wide(from, reader->end);
            if (width == 0)
                return malformed(reader);
            reader->at += width;
        }
        else if (c == '<') {
            char next = reader->end - from > 1 ? from[1] : '\0';
            if (next != '!' && next != '?')
                break;
            if (!LEAVE_RUN())
                return false;
            if (TAKE(reader, "<![CDATA[")) {
                if (!read_cdata(reader, from))
                    return false;
            }
            else if (TAKE(reader, "<!--")) {
                if (!skip_comment(reader) || !replace(reader, from, "", 0))
                    return false;
            }
            else if (TAKE(reader, "<?")) {
                if (!skip_instruction(reader) || !replace(reader, from, "", 0))
                    return false;
            }
            else
                return malformed(reader);
            run = raw = reader->at;
        }
        else if (c == '&') {
            uint32_t code;
            bool by_number;
            char utf8[4];
            if (!LEAVE_RUN() || !read_reference(reader, &code, &by_number))
                return false;
            size_t size = (size_t)write_utf8(code, utf8);
            if (!keep(reader, utf8, size))
                return false;
            if (by_number && code == '\r' && !replace(reader, from, "&#13;", 5))
                return false;
            if (by_number && code != '\r' && !replace_escaped(reader, from, utf8, size))
                return false;
            run = raw = reader->at;
        }
        else if (c == '>') {
            if (from - raw >= 2 && from[-1] == ']' && from[-2] == ']')
                return malformed(reader);
            reader->at++;
            if (!replace(reader, from, "&gt;", 4))
                return false;
        }
        else if (c == '\r') {
            if (!LEAVE_RUN() || !keep(reader, "\n", 1))
                return false;
            reader->at++;
            TAKE(reader, "\n");
            run = reader->at;
        }
        else
            return malformed(reader);
    }
    if (in_scratch && !LEAVE_RUN())
        return false;
#undef LEAVE_RUN
    *text = in_scratch ? (Text){reader->scratch.data, reader->scratch.size}
                       : (Text){run, (size_t)(reader->at - run)};
    return true;
}

static bool
is_short_enough(Reader *reader, Text text)
{
    if (text.size <= reader->longest_string)
        return true;
    size_t characters = 0;
    for (size_t i = 0; i < text.size; i++)
        characters += ((unsigned char)text.text[i] & 0xC0) != 0x80;
    return characters <= reader->longest_string || refuse(reader, "string");
}

/* The text that is all an element holds. */
static bool
read_content(Reader *reader, Text *text)
{
    return read_text(reader, text) && is_short_enough(reader, *text);
}

/* Make a text last as long as the reader. */
static bool
make_lasting(Reader *reader, Text *text)
{
    if (text->size == 0 || text->text != reader->scratch.data)
        return true;
    char *copy = allot(reader, text->size);
    if (copy == NULL)
        return false;
    memcpy(copy, text->text, text->size);
    text->text = copy;
    return true;
}

static bool
put_text(Reader *reader, int levels, Text *text)
{
    return levels < 0 || (make_lasting(reader, text) && put(reader, levels, TEXT, text->text, text->size));
}

static Text
trimmed(Text text)
{
    while (text.size && is_kind(text.text[0], SPACE))
        text.text++, text.size--;
    while (text.size && is_kind(text.text[text.size - 1], SPACE))
        text.size--;
    return text;
}

static size_t
count_digits(const char *at, const char *end)
{
    const char *start = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return (size_t)(at - start);
}

static bool
is_number(Text text, Element kind)
{
    const char *at = text.text, *end = at + text.size;
    if (kind == BOOLEAN)
        return text.size == 1 && (*at == '0' || *at == '1');
    if (text.size > LONGEST_NUMBER)
        return false;
    if (at < end && (*at == '+' || *at == '-'))
        at++;
    size_t digits = count_digits(at, end);
    at += digits;
    if (kind == INT)
        return digits > 0 && at == end;
    if (at < end && *at == '.') {
        size_t decimals = count_digits(++at, end);
        at += decimals;
        digits += decimals;
    }
    if (digits == 0)
        return false;
    if (at < end && (*at | 32) == 'e') {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        digits = count_digits(at, end);
        at += digits;
    }
    return digits > 0 && at == end;
}

/* ------------------------------------------------------------------ tags */

#define IN(element) (1u << (element))
static const unsigned int children[] = {
    [VALUE] = IN(STRING) | IN(INT) | IN(DOUBLE) | IN(BOOLEAN) | IN(STRUCT) | IN(ARRAY),
    [STRING] = 0,
    [INT] = 0,
    [DOUBLE] = 0,
    [BOOLEAN] = 0,
    [STRUCT] = IN(MEMBER),
    [MEMBER] = IN(NAME) | IN(VALUE),
    [NAME] = 0,
    [ARRAY] = IN(DATA),
    [DATA] = IN(VALUE),
    [PARAMS] = IN(PARAM),
    [PARAM] = IN(VALUE),
    [FAULT] = IN(VALUE),
    [METHOD_CALL] = IN(METHOD_NAME) | IN(PARAMS),
    [METHOD_NAME] = 0,
    [METHOD_RESPONSE] = IN(PARAMS) | IN(FAULT),
    [OTHER] = IN(METHOD_CALL) | IN(METHOD_RESPONSE), /* the document itself */
};

static Element
element_called(const char *name, size_t size)
{
    for (Element element = VALUE; element < OTHER; element++)
        if (strlen(element_names[element]) == size && memcmp(element_names[element], name, size) == 0)
            return element;
    if (size == 2 && (memcmp(name, "i4", 2) == 0 || memcmp(name, "i8", 2) == 0))
        return INT;
    return OTHER;
}

static bool
is_at_end_tag(const Reader *reader)
{
    return reader->end - reader->at > 1 && reader->at[0] == '<' && reader->at[1] == '/';
}

/* A start tag, at its <, which has to be that of a child of `parent`. */
static bool
open_child(Reader *reader, Element parent, Element *child, bool *empty)
{
    const char *from = reader->at++, *name = reader->at;
    if (!skip_name(reader))
        return false;
    size_t size = (size_t)(reader->at - name);
    if (!skip_attributes(reader, name, size))
        return false;
    *empty = TAKE(reader, "/");
    if (!TAKE(reader, ">"))
        return malformed(reader);
    if (reader->at - from > LONGEST_MARKUP)
        return refuse(reader, "markup");
    *child = element_called(name, size);
    if (*child == OTHER || !(children[parent] & IN(*child)))
        return refuse_as(reader, "child", name, size, parent == OTHER ? "" : element_names[parent]);
    bool canonical = reader->at - from == (ptrdiff_t)size + 2;
    if (!canonical && !replace_by_tag(reader, from, false, *child))
        return false;
    return !*empty || replace_by_tag(reader, reader->at, true, *child);
}

/* The end tag of `element`; where a start tag stands instead, that is refused as `problem`. */
static bool
close_element(Reader *reader, Element element, const char *problem)
{
    const char *name = element_names[element], *from = reader->at;
    size_t size = strlen(name);
    if (!is_at_end_tag(reader)) {
        Element child;
        bool empty;
        return open_child(reader, element, &child, &empty) && refuse_as(reader, problem, name, size, "");
    }
    reader->at += 2;
    const char *written = reader->at;
    if (!skip_name(reader))
        return false;
    bool same = (size_t)(reader->at - written) == size && memcmp(written, name, size) == 0;
    same = same || (element == INT && element_called(written, (size_t)(reader->at - written)) == INT);
    const char *end = reader->at;
    skip_space(reader);
    if (!same || !TAKE(reader, ">"))
        return malformed(reader);
    return reader->at == end + 1 || replace_by_tag(reader, from, true, element);
}

#define CLOSE_ELEMENT(reader, literal, element, problem) \
    (TAKE(reader, "</" literal ">") || close_element(reader, element, problem))

/* Up to the next tag in `parent`, over what may stand between elements. */
static bool
skip_between(Reader *reader, Element parent)
{
    skip_space(reader);
    if (reader->end - reader->at > 1 && *reader->at == '<' && reader->at[1] != '!' && reader->at[1] != '?')
        return true;
    Text text;
    if (!read_text(reader, &text))
        return false;
    return trimmed(text).size == 0 || refuse_as(reader, "text", element_names[parent], strlen(element_names[parent]), "");
}

/* ------------------------------------------------------------------ the names in a map */

static uint64_t secret[2]; /* so that nobody can choose names of one hash */

static inline uint64_t
rotated(uint64_t word, int by)
{
    return word << by | word >> (64 - by);
}

/* SipHash-1-3 (Aumasson and Bernstein). */
static uint64_t
hash_of(const char *data, size_t size)
{
    uint64_t a = secret[0] ^ 0x736f6d6570736575u, b = secret[1] ^ 0x646f72616e646f6du;
    uint64_t c = secret[0] ^ 0x6c7967656e657261u, d = secret[1] ^ 0x7465646279746573u;
    uint64_t last = (uint64_t)size << 56;
#define ROUND()                                                                                   \
    (a += b, b = rotated(b, 13), b ^= a, a = rotated(a, 32), c += d, d = rotated(d, 16), d ^= c, \
     a += d, d = rotated(d, 21), d ^= a, c += b, b = rotated(b, 17), b ^= c, c = rotated(c, 32))
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        d ^= word;
        ROUND();
        a ^= word;
    }
    for (size_t i = 0; i < size; i++)
        last |= (uint64_t)(unsigned char)data[i] << 8 * i;
    d ^= last;
    ROUND();
    a ^= last;
    c ^= 0xff;
    ROUND();
    ROUND();
    ROUND();
#undef ROUND
    return a ^ b ^ c ^ d;
}

/* Finds a map's names again: places in `names`, counted from the map's first, plus one; nothing while they are few. */
typedef struct {
    uint32_t *slots;
    size_t size;
} Table;

#define FEW_NAMES 8

static bool
enter(Reader *reader, Table *table, size_t first)
{
    size_t count = reader->name_count - first;
    if (count * 2 > table->size) {
        size_t size = table->size ? table->size * 2 : 4 * FEW_NAMES;
        uint32_t *slots = calloc(size, sizeof *slots);
        if (slots == NULL)
            return no_memory(reader);
        for (size_t i = 0; i + 1 < count; i++) {
            size_t slot = reader->names[first + i].hash & (size - 1);
            while (slots[slot])
                slot = (slot + 1) & (size - 1);
            slots[slot] = (uint32_t)i + 1;
        }
        free(table->slots);
        table->slots = slots;
        table->size = size;
    }
    const Name *name = &reader->names[reader->name_count - 1];
    size_t slot = name->hash & (table->size - 1);
    for (; table->slots[slot]; slot = (slot + 1) & (table->size - 1)) {
        const Name *other = &reader->names[first + table->slots[slot] - 1];
        if (other->hash == name->hash && other->size == name->size && memcmp(other->text, name->text, name->size) == 0)
            return refuse(reader, "twins");
    }
    table->slots[slot] = (uint32_t)count;
    return true;
}

/* Note a name of the innermost map that is open, whose first name is `names[first]`; none stands there twice. */
static bool
add_name(Reader *reader, Table *table, size_t first, Text text)
{
    if (!make_room(reader, (void **)&reader->names, reader->name_count, &reader->name_room, sizeof(Name)))
        return false;
    size_t count = reader->name_count - first;
    Name *name = &reader->names[reader->name_count++];
    *name = (Name){text.text, text.size, 0};
    if (count < FEW_NAMES) {
        for (Name *other = name - count; other < name; other++)
            if (other->size == text.size && memcmp(other->text, text.text, text.size) == 0)
                return refuse(reader, "twins");
        return true;
    }
    if (count == FEW_NAMES)
        for (Name *other = name - count; other < name; other++)
            other->hash = hash_of(other->text, other->size);
    name->hash = hash_of(text.text, text.size);
    return enter(reader, table, first);
}

/* ------------------------------------------------------------------ values */

/* `levels` says how much of a value goes on the tape: below 0 nothing, at 0 a text or an empty list or map,
   above it what is in it too, to one level less.  `depth` is how much deeper lists and maps may nest. */
static bool read_value(Reader *reader, bool empty, int depth, int levels);

static bool
read_member(Reader *reader, int depth, int levels, Table *table, size_t first)
{
    Element child;
    bool empty = false;
    Text name = {"", 0};
    if (!TAKE(reader, "<member>") && !open_child(reader, STRUCT, &child, &empty))
        return false;
    if (empty || !skip_between(reader, MEMBER))
        return refuse_as(reader, "order", "member", 6, "");
    if (!TAKE(reader, "<name>")) {
        if (is_at_end_tag(reader))
            return refuse_as(reader, "order", "member", 6, "");
        if (!open_child(reader, MEMBER, &child, &empty))
            return false;
        if (child != NAME)
            return refuse_as(reader, "order", "member", 6, "");
    }
    if (!empty && (!read_content(reader, &name) || !make_lasting(reader, &name)
                   || !CLOSE_ELEMENT(reader, "name", NAME, "child")))
        return false;
    if (!add_name(reader, table, first, name) || !put(reader, levels, TEXT, name.text, name.size)
        || !skip_between(reader, MEMBER))
        return false;
    /* What is in an error of a response is looked at too. */
    if (reader->outline && levels == 0 && depth == reader->depth - 1 && name.size == 10
        && memcmp(name.text, "samp.error", 10) == 0)
        levels = 1;
    empty = false;
    if (!TAKE(reader, "<value>")) {
        if (is_at_end_tag(reader))
            return refuse_as(reader, "order", "member", 6, "");
        if (!open_child(reader, MEMBER, &child, &empty))
            return false;
        if (child != VALUE)
            return refuse_as(reader, "order", "member", 6, "");
    }
    return read_value(reader, empty, depth, levels) && skip_between(reader, MEMBER) && CLOSE_ELEMENT(reader, "member", MEMBER, "order");
}

static bool
read_struct(Reader *reader, int depth, int levels) /* behind <struct> */
{
    size_t first = reader->name_count;
    Table table = {NULL, 0};
    bool more = true;
    while (more) {
        more = skip_between(reader, STRUCT) && !is_at_end_tag(reader)
               && read_member(reader, depth, levels - 1, &table, first);
        if (more && reader->outline && levels > 0 && reader->name_count - first > MOST_MEMBERS)
            more = refuse(reader, "members");
    }
    free(table.slots);
    reader->name_count = first;
    return reader->problem == NULL && CLOSE_ELEMENT(reader, "struct", STRUCT, "child");
}

/* The values in a <data> or <params>' <param>, each behind its <value>. */
static bool
read_child_value(Reader *reader, Element parent, int depth, int levels)
{
    bool empty = false;
    Element child;
    if (!TAKE(reader, "<value>") && !open_child(reader, parent, &child, &empty))
        return false;
    return read_value(reader, empty, depth, levels);
}

static bool
read_array(Reader *reader, int depth, int levels) /* behind <array> */
{
    Element child;
    bool empty = false;
    if (!skip_between(reader, ARRAY))
        return false;
    if (is_at_end_tag(reader))
        return refuse_as(reader, "nothing", "array", 5, "");
    if (!TAKE(reader, "<data>") && !open_child(reader, ARRAY, &child, &empty))
        return false;
    while (!empty) {
        if (!skip_between(reader, DATA))
            return false;
        if (is_at_end_tag(reader))
            break;
        if (!read_child_value(reader, DATA, depth, levels - 1))
            return false;
    }
    if (!empty && !CLOSE_ELEMENT(reader, "data", DATA, "child"))
        return false;
    return skip_between(reader, ARRAY) && CLOSE_ELEMENT(reader, "array", ARRAY, "more");
}

static bool
read_number(Reader *reader, Element kind, int levels, const char *from, bool empty)
{
    bool capturing = reader->capturing;
    Text text = {"", 0};
    reader->capturing = false; /* all of it is written anew */
    if (!empty && (!read_content(reader, &text) || !close_element(reader, kind, "child")))
        return false;
    reader->capturing = capturing;
    text = trimmed(text);
    if (!is_number(text, kind))
        return refuse_as(reader, element_names[kind], text.text, text.size, "");
    if (levels >= 0 || capturing) {
        char *copy = allot(reader, text.size);
        if (copy == NULL)
            return false;
        memcpy(copy, text.text, text.size);
        text.text = copy;
    }
    return replace(reader, from, "<string>", 8) && replace(reader, reader->at, text.text, text.size)
           && replace(reader, reader->at, "</string>", 9) && put(reader, levels, TEXT, text.text, text.size);
}

static bool
read_value(Reader *reader, bool empty, int depth, int levels) /* behind <value>, or an empty <value/> */
{
    Element kind = STRING;
    Text text = {"", 0};
    if (reader->values_left-- == 0)
        return refuse(reader, "values");
    if (empty)
        return put(reader, levels, TEXT, "", 0);
    const char *from = reader->at;
    if (!TAKE(reader, "<string>")) {
        skip_space(reader);
        if (reader->at == reader->end || *reader->at != '<' || reader->end - reader->at < 2
            || !is_kind(reader->at[1], NAME_START)) {
            reader->at = from;
            if (!read_text(reader, &text))
                return false;
            if (is_at_end_tag(reader))
                return is_short_enough(reader, text) && put_text(reader, levels, &text) && CLOSE_ELEMENT(reader, "value", VALUE, "more");
            if (trimmed(text).size)
                return refuse_as(reader, "text", "value", 5, "");
            text.size = 0;
        }
        from = reader->at;
        if (TAKE(reader, "<struct>"))
            kind = STRUCT;
        else if (TAKE(reader, "<array>"))
            kind = ARRAY;
        else if (!open_child(reader, VALUE, &kind, &empty))
            return false;
    }
    if (kind == STRUCT || kind == ARRAY) {
        /* Of a list nothing is needed but that it is one. */
        if (kind == ARRAY && reader->outline && levels > 0)
            levels = 0;
        if (depth == 0)
            return refuse(reader, "depth");
        if (!put(reader, levels, kind == STRUCT ? MAP : LIST, NULL, 0))
            return false;
        if (empty && kind == ARRAY)
            return refuse_as(reader, "nothing", "array", 5, "");
        if (!empty && !(kind == STRUCT ? read_struct : read_array)(reader, depth - 1, levels))
            return false;
        if (!put(reader, levels, CLOSE, NULL, 0))
            return false;
    }
    else if (kind == STRING) {
        if (!empty && (!read_content(reader, &text) || !CLOSE_ELEMENT(reader, "string", STRING, "child")))
            return false;
        if (!put_text(reader, levels, &text))
            return false;
    }
    else if (!read_number(reader, kind, levels, from, empty))
        return false;
    return TAKE(reader, "</value>") || (skip_between(reader, VALUE) && close_element(reader, VALUE, "more"));
}

/* ------------------------------------------------------------------ documents */

static bool
read_param(Reader *reader) /* behind <param> */
{
    if (!skip_between(reader, PARAM))
        return false;
    if (is_at_end_tag(reader))
        return refuse_as(reader, "nothing", "param", 5, "");
    if (!make_room(reader, (void **)&reader->params, reader->param_count, &reader->param_room, sizeof(Param)))
        return false;
    Param *param = &reader->params[reader->param_count++];
    const char *start = reader->at;
    *param = (Param){reader->item_count, NULL, 0, NULL};
    reader->capturing = reader->outline;
    reader->kept = start;
    if (!read_child_value(reader, PARAM, reader->depth, reader->outline ? 1 : reader->depth))
        return false;
    if (reader->outline && reader->items[param->item].kind == MAP) {
        if (reader->copy.size) {
            if (!replace(reader, reader->at, "", 0))
                return false;
            param->copy = reader->copy.data;
            param->xml_size = reader->copy.size;
            reader->copy = (Buffer){NULL, 0, 0};
        }
        else
            param->xml_size = (size_t)(reader->at - start);
        param->xml = param->copy ? param->copy : start;
    }
    reader->copy.size = 0;
    reader->capturing = false;
    return skip_between(reader, PARAM) && CLOSE_ELEMENT(reader, "param", PARAM, "more");
}

static bool
read_params(Reader *reader, bool first_only) /* behind <params> */
{
    for (;;) {
        Element child;
        bool empty = false;
        if (!skip_between(reader, PARAMS))
            return false;
        if (is_at_end_tag(reader))
            return CLOSE_ELEMENT(reader, "params", PARAMS, "child");
        if (!TAKE(reader, "<param>") && !open_child(reader, PARAMS, &child, &empty))
            return false;
        if (empty)
            return refuse_as(reader, "nothing", "param", 5, "");
        if (!read_param(reader))
            return false;
        if (first_only)
            return true;
    }
}

static bool
read_method_call(Reader *reader, bool first_only) /* behind <methodCall> */
{
    Element child;
    bool empty = false;
    Text name = {"", 0};
    if (!skip_between(reader, METHOD_CALL))
        return false;
    if (!TAKE(reader, "<methodName>")) {
        if (is_at_end_tag(reader))
            return CLOSE_ELEMENT(reader, "methodCall", METHOD_CALL, "order");
        if (!open_child(reader, METHOD_CALL, &child, &empty))
            return false;
        if (child != METHOD_NAME)
            return refuse_as(reader, "order", "methodCall", 10, "");
    }
    if (!empty && (!read_content(reader, &name) || !make_lasting(reader, &name)
                   || !CLOSE_ELEMENT(reader, "methodName", METHOD_NAME, "child")))
        return false;
    name = trimmed(name);
    reader->method = name.text;
    reader->method_size = name.size;
    if (!skip_between(reader, METHOD_CALL))
        return false;
    if (is_at_end_tag(reader))
        return CLOSE_ELEMENT(reader, "methodCall", METHOD_CALL, "order");
    empty = false;
    child = PARAMS;
    if (!TAKE(reader, "<params>") && !open_child(reader, METHOD_CALL, &child, &empty))
        return false;
    if (child != PARAMS)
        return refuse_as(reader, "order", "methodCall", 10, "");
    if (!empty && !read_params(reader, first_only))
        return false;
    if (first_only)
        return true;
    return skip_between(reader, METHOD_CALL) && CLOSE_ELEMENT(reader, "methodCall", METHOD_CALL, "order");
}

static bool
read_method_response(Reader *reader) /* behind <methodResponse> */
{
    Element child;
    bool empty;
    if (!skip_between(reader, METHOD_RESPONSE))
        return false;
    if (is_at_end_tag(reader))
        return CLOSE_ELEMENT(reader, "methodResponse", METHOD_RESPONSE, "more");
    if (!open_child(reader, METHOD_RESPONSE, &child, &empty))
        return false;
    if (child == FAULT) {
        reader->is_fault = true;
        if (empty || !skip_between(reader, FAULT) || is_at_end_tag(reader))
            return refuse_as(reader, "nothing", "fault", 5, "");
        if (!make_room(reader, (void **)&reader->params, 0, &reader->param_room, sizeof(Param)))
            return false;
        reader->params[reader->param_count++] = (Param){reader->item_count, NULL, 0, NULL};
        if (!read_child_value(reader, FAULT, reader->depth, reader->depth) || !skip_between(reader, FAULT)
            || !CLOSE_ELEMENT(reader, "fault", FAULT, "more"))
            return false;
    }
    else if (!empty && !read_params(reader, false))
        return false;
    return skip_between(reader, METHOD_RESPONSE)
           && CLOSE_ELEMENT(reader, "methodResponse", METHOD_RESPONSE, "more");
}

static bool
skip_pseudo_attribute(Reader *reader, const char *name, char *value, size_t room)
{
    const char *before = reader->at;
    skip_space(reader);
    if (reader->at == before || !take(reader, name, strlen(name))) {
        reader->at = before;
        return false;
    }
    skip_space(reader);
    if (!TAKE(reader, "="))
        return malformed(reader);
    skip_space(reader);
    char quote = reader->at < reader->end ? *reader->at++ : '\0';
    const char *start = reader->at;
    while (reader->at < reader->end && is_kind(*reader->at, NAME_CHAR) && *reader->at != quote)
        reader->at++;
    size_t size = (size_t)(reader->at - start);
    if ((quote != '"' && quote != '\'') || size >= room || reader->at == reader->end
        || *reader->at++ != quote)
        return malformed(reader);
    memcpy(value, start, size);
    value[size] = '\0';
    return true;
}

static bool
is_called(const char *word, const char *other)
{
    while (*word && (*word | 32) == *other)
        word++, other++;
    return *word == *other;
}

/* A document in another encoding than UTF-8 is read once it is in that: see `hubfarm.samp.encodings`. */
static bool
skip_declaration(Reader *reader)
{
    char value[64];
    if (reader->end - reader->at < 6 || memcmp(reader->at, "<?xml", 5) != 0 || !is_kind(reader->at[5], SPACE))
        return true;
    reader->at += 5;
    if (!skip_pseudo_attribute(reader, "version", value, sizeof value) || strchr(value, ':'))
        return malformed(reader);
    if (skip_pseudo_attribute(reader, "encoding", value, sizeof value)) {
        if ((value[0] | 32) < 'a' || (value[0] | 32) > 'z' || strchr(value, ':'))
            return malformed(reader);
        if (!is_called(value, "utf-8"))
            return refuse_as(reader, "encoding", value, strlen(value), "");
    }
    if (skip_pseudo_attribute(reader, "standalone", value, sizeof value) && strcmp(value, "yes") != 0
        && strcmp(value, "no") != 0)
        return malformed(reader);
    skip_space(reader);
    if (reader->at - reader->start > LONGEST_MARKUP)
        return refuse(reader, "markup");
    return reader->problem == NULL && (TAKE(reader, "?>") || malformed(reader));
}

/* What may stand before and behind the root element. */
static bool
skip_outside(Reader *reader)
{
    for (;;) {
        skip_space(reader);
        if (TAKE(reader, "<!--")) {
            if (!skip_comment(reader))
                return false;
        }
        else if (TAKE(reader, "<?")) {
            if (!skip_instruction(reader))
                return false;
        }
        else if (TAKE(reader, "<!DOCTYPE"))
            return refuse(reader, "doctype");
        else
            return true;
    }
}

static bool
read_document(Reader *reader, bool first_only)
{
    bool empty, whole;
    if (TAKE(reader, "\xFF\xFE") || TAKE(reader, "\xFE\xFF") || TAKE(reader, "<\0") || TAKE(reader, "\0<"))
        return refuse_as(reader, "encoding", "utf-16", 6, "");
    TAKE(reader, "\xEF\xBB\xBF");
    if (!skip_declaration(reader) || !skip_outside(reader))
        return false;
    if (reader->end - reader->at < 2 || *reader->at != '<' || !is_kind(reader->at[1], NAME_START))
        return malformed(reader);
    if (!open_child(reader, OTHER, &reader->root, &empty))
        return false;
    reader->method = reader->root == METHOD_CALL ? "" : NULL;
    if (empty)
        whole = true;
    else if (reader->root == METHOD_CALL)
        whole = read_method_call(reader, first_only);
    else
        whole = read_method_response(reader);
    if (!whole || first_only)
        return whole;
    return skip_outside(reader) && (reader->at == reader->end || malformed(reader));
}

static void
give_back(Reader *reader)
{
    while (reader->blocks) {
        Block *next = reader->blocks->next;
        free(reader->blocks);
        reader->blocks = next;
    }
    for (size_t i = 0; i < reader->param_count; i++)
        free(reader->params[i].copy);
    free(reader->items);
    free(reader->params);
    free(reader->names);
    free(reader->scratch.data);
    free(reader->copy.data);
}

/* ------------------------------------------------------------------ from the tape to Python */

static PyObject *
build(const Item **next)
{
    const Item *item = (*next)++;
    if (item->kind == TEXT)
        return PyUnicode_FromStringAndSize(item->text, (Py_ssize_t)item->size);
    PyObject *whole = item->kind == LIST ? PyList_New(0) : PyDict_New();
    while (whole != NULL && (*next)->kind != CLOSE) {
        PyObject *name = NULL;
        if (item->kind == MAP && (name = build(next)) == NULL) {
            Py_CLEAR(whole);
            break;
        }
        PyObject *value = build(next);
        if (value == NULL || (name ? PyDict_SetItem(whole, name, value) : PyList_Append(whole, value)) < 0)
            Py_CLEAR(whole);
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    (*next)++;
    return whole;
}

static PyObject *
build_param(const Reader *reader, const Param *param)
{
    const Item *next = &reader->items[param->item];
    PyObject *value = build(&next);
    if (value == NULL || param->xml == NULL)
        return value;
    return Py_BuildValue("(NN)", PyBytes_FromStringAndSize(param->xml, (Py_ssize_t)param->xml_size), value);
}

static PyObject *
method_of(const Reader *reader)
{
    if (reader->method == NULL)
        return Py_NewRef(Py_None); /* of a response */
    return PyUnicode_FromStringAndSize(reader->method, (Py_ssize_t)reader->method_size);
}

static PyObject *
build_params(const Reader *reader)
{
    PyObject *params = PyList_New((Py_ssize_t)reader->param_count);
    for (size_t i = 0; params != NULL && i < reader->param_count; i++) {
        PyObject *param = build_param(reader, &reader->params[i]);
        if (param == NULL || PyList_SetItem(params, (Py_ssize_t)i, param) < 0)
            Py_CLEAR(params);
    }
    return params;
}

static PyObject *
raise_refused(const Reader *reader)
{
    if (strcmp(reader->problem, "memory") == 0)
        return PyErr_NoMemory();
    PyObject *detail = Py_BuildValue(
        "(snys)", reader->problem, (Py_ssize_t)(reader->problem_at - reader->start), reader->what, reader->where);
    if (detail != NULL)
        PyErr_SetObject(PyExc_ValueError, detail);
    Py_XDECREF(detail);
    return NULL;
}

static PyObject *
read_(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data;
    int outline, depth;
    Py_ssize_t string, values;
    if (!PyArg_ParseTuple(args, "y*pinn", &data, &outline, &depth, &string, &values))
        return NULL;
    Reader reader = {.at = data.buf, .start = data.buf, .end = (const char *)data.buf + data.len, .depth = depth};
    reader.longest_string = (size_t)string;
    reader.values_left = (size_t)values;
    reader.outline = outline;
    if (data.len < ALONE_FROM)
        read_document(&reader, false);
    else {
        Py_BEGIN_ALLOW_THREADS;
        read_document(&reader, false);
        Py_END_ALLOW_THREADS;
    }
    PyObject *result = NULL;
    if (reader.problem != NULL)
        raise_refused(&reader);
    else {
        PyObject *params = build_params(&reader);
        if (params != NULL)
            result = Py_BuildValue(
                "(ONNO)", reader.root == METHOD_CALL ? Py_True : Py_False, method_of(&reader), params,
                reader.is_fault ? Py_True : Py_False);
    }
    give_back(&reader);
    PyBuffer_Release(&data);
    return result;
}

static PyObject *
read_start(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*", &data))
        return NULL;
    Reader reader = {.at = data.buf, .start = data.buf, .end = (const char *)data.buf + data.len, .depth = 0};
    reader.longest_string = (size_t)data.len;
    reader.values_left = 1;
    PyObject *result = NULL;
    if (!read_document(&reader, true) || reader.root != METHOD_CALL || reader.param_count == 0)
        result = Py_BuildValue("");
    else {
        PyObject *first = build_param(&reader, &reader.params[0]);
        if (first != NULL)
            result = Py_BuildValue("(NN)", method_of(&reader), first);
    }
    give_back(&reader);
    PyBuffer_Release(&data);
    return result;
}

/* ------------------------------------------------------------------ the writer */

static bool
write_text(Buffer *buffer, PyObject *text)
{
    Py_ssize_t size;
    const char *at = PyUnicode_AsUTF8AndSize(text, &size);
    if (at == NULL) {
        PyErr_Clear(); /* a surrogate: the writer in Python says so */
        return false;
    }
    for (const char *end = at + size, *run = at;; run = at) {
        while (at < end && (is_kind(*at, PLAIN) || (unsigned char)*at >= 0x80)) {
            int width = (unsigned char)*at < 0x80 ? 1 : size_of_wide(at, end);
            if (width == 0)
                return false;
            at += width;
        }
        if (!append(buffer, run, (size_t)(at - run)))
            return false;
        if (at == end)
            return true;
        const char *escape = *at == '&' ? "&amp;" : *at == '<' ? "&lt;" : *at == '>' ? "&gt;" : *at == '\r' ? "&#13;" : "";
        if (*escape == '\0' || !append(buffer, escape, strlen(escape)))
            return false;
        at++;
    }
}

#define APPEND(buffer, literal) append(buffer, literal, sizeof(literal) - 1)

static bool write_value(Buffer *buffer, PyObject *value);

static bool
write_map(Buffer *buffer, PyObject *map)
{
    PyObject *name, *value;
    Py_ssize_t place = 0;
    if (!APPEND(buffer, "<value><struct>"))
        return false;
    while (PyDict_Next(map, &place, &name, &value))
        if (!PyUnicode_Check(name) || !APPEND(buffer, "<member><name>") || !write_text(buffer, name)
            || !APPEND(buffer, "</name>") || !write_value(buffer, value) || !APPEND(buffer, "</member>"))
            return false;
    return APPEND(buffer, "</struct></value>");
}

static bool
write_list(Buffer *buffer, PyObject *list)
{
    if (!APPEND(buffer, "<value><array><data>"))
        return false;
    for (Py_ssize_t i = 0; i < PyList_Size(list); i++)
        if (!write_value(buffer, PyList_GetItem(list, i)))
            return false;
    return APPEND(buffer, "</data></array></value>");
}

static bool
write_value(Buffer *buffer, PyObject *value)
{
    if (PyUnicode_Check(value))
        return APPEND(buffer, "<value><string>") && write_text(buffer, value) && APPEND(buffer, "</string></value>");
    bool is_map = PyDict_Check(value);
    if ((!is_map && !PyList_Check(value)) || Py_EnterRecursiveCall(" while a SAMP value is written")) {
        PyErr_Clear();
        return false;
    }
    bool written = is_map ? write_map(buffer, value) : write_list(buffer, value);
    Py_LeaveRecursiveCall();
    return written;
}

static PyObject *
write_(PyObject *Py_UNUSED(module), PyObject *value)
{
    Buffer buffer = {NULL, 0, 0};
    PyObject *result = write_value(&buffer, value) ? PyBytes_FromStringAndSize(buffer.data, (Py_ssize_t)buffer.size)
                                                   : Py_BuildValue("");
    free(buffer.data);
    return result;
}

static PyMethodDef functions[] = {
    {"read", read_, METH_VARARGS, "Read a document; see `hubfarm.samp.reader.Read`."},
    {"read_start", read_start, METH_VARARGS, "Read a call's method and first parameter; None if they are not all there."},
    {"write", write_, METH_O, "Write a value as its <value> element; None if it is no SAMP value."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "hubfarm.samp._codec", .m_methods = functions};

static bool
choose_secret(void)
{
    PyObject *os = PyImport_ImportModule("os");
    PyObject *random = os ? PyObject_CallMethod(os, "urandom", "i", (int)sizeof secret) : NULL;
    if (random != NULL)
        memcpy(secret, PyBytes_AsString(random), sizeof secret);
    Py_XDECREF(os);
    Py_XDECREF(random);
    return random != NULL;
}

PyMODINIT_FUNC
PyInit__codec(void)
{
    fill_kinds();
    return choose_secret() ? PyModule_Create(&definition) : NULL;
}
