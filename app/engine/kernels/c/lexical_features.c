/* Lexical features of candidates, for a whole batch in one call. lexical_features.py says what each
 * of them means and does the same in numpy; a scorer must not notice which of the two it gets.
 *
 * Pointers and lengths are our caller's, who has checked that what lies in the arrays fits them.
 * Rows of candidates may be any.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ranks.h"
#include "shared.h"

/* The features, in order. */
enum {
    BM25, BM25_RANK, TITLE_COVERAGE, TEXT_COVERAGE, EXACT_COVERAGE, HOLDS_ALL, MISSING_WORDS,
    RAREST_MISSING, TITLE_COVERED, PHRASE, STARTS, WHOLE_TITLE, TITLE_WORDS, NUMBERS_MATCHED, NUMBERS_CLASH,
    QUERY_WORDS, UNKNOWN_WORDS, SHARPNESS, HOLDERS, LEXICAL_FEATURES
};
enum { STOP_WORD = 1, NUMBER = 2, MOST_KEYS = 64, MOST_HOLDERS = 200 };
enum { OUT_OF_MEMORY = 1 };
/* Candidates that are searched for side by side, so that their reads of memory overlap. */
enum { BLOCK = 16 };
/* How many candidates ahead a title is asked for. */
enum { AHEAD = 16 };

/* Ascending rows, each once; values may be missing. */
typedef struct { const int32_t *rows; const float *values; int64_t n; } RowValues;

typedef struct {
    int64_t key, is_number;
    RowValues items, titles, exactly, instead; /* all rows are among those of items */
} AskedWord;

typedef struct {
    const AskedWord *words;
    const int32_t *typed;            /* keys */
    const int32_t *vocabulary, *keys; /* words of the vocabulary, and the key of each */
    int64_t n_words, n_typed, n_keys, stop_words;
} AskedQuery;

typedef struct {
    const AskedQuery *query;
    const float *idf; /* of its words */
    const int64_t *rows;
    int64_t n_words, n_unknown;
    int64_t replaced; /* bit w: no item has word w itself */
    int64_t n_rows;
} PairRequest;

typedef struct {
    const int64_t *offsets;
    const int32_t *words;
    const uint8_t *kinds;
    int64_t n_items;
} Titles;

const Shared lexical_features_shared[] = {
    SHARED_STRUCT(AskedWord), SHARED_FIELD(AskedWord, key), SHARED_FIELD(AskedWord, is_number),
    SHARED_FIELD(AskedWord, items.rows), SHARED_FIELD(AskedWord, items.values),
    SHARED_FIELD(AskedWord, items.n), SHARED_FIELD(AskedWord, titles.rows),
    SHARED_FIELD(AskedWord, titles.values), SHARED_FIELD(AskedWord, titles.n),
    SHARED_FIELD(AskedWord, exactly.rows), SHARED_FIELD(AskedWord, exactly.values),
    SHARED_FIELD(AskedWord, exactly.n), SHARED_FIELD(AskedWord, instead.rows),
    SHARED_FIELD(AskedWord, instead.values), SHARED_FIELD(AskedWord, instead.n),
    SHARED_STRUCT(AskedQuery), SHARED_FIELD(AskedQuery, words), SHARED_FIELD(AskedQuery, typed),
    SHARED_FIELD(AskedQuery, vocabulary), SHARED_FIELD(AskedQuery, keys),
    SHARED_FIELD(AskedQuery, n_words), SHARED_FIELD(AskedQuery, n_typed),
    SHARED_FIELD(AskedQuery, n_keys), SHARED_FIELD(AskedQuery, stop_words),
    SHARED_STRUCT(PairRequest), SHARED_FIELD(PairRequest, query), SHARED_FIELD(PairRequest, idf),
    SHARED_FIELD(PairRequest, rows), SHARED_FIELD(PairRequest, n_words),
    SHARED_FIELD(PairRequest, n_unknown), SHARED_FIELD(PairRequest, replaced),
    SHARED_FIELD(PairRequest, n_rows),
    SHARED_STRUCT(Titles), SHARED_FIELD(Titles, offsets), SHARED_FIELD(Titles, words),
    SHARED_FIELD(Titles, kinds), SHARED_FIELD(Titles, n_items),
    SHARED_CONSTANT(BM25), SHARED_CONSTANT(BM25_RANK), SHARED_CONSTANT(TITLE_COVERAGE),
    SHARED_CONSTANT(TEXT_COVERAGE), SHARED_CONSTANT(EXACT_COVERAGE), SHARED_CONSTANT(HOLDS_ALL),
    SHARED_CONSTANT(MISSING_WORDS),
    SHARED_CONSTANT(RAREST_MISSING), SHARED_CONSTANT(TITLE_COVERED), SHARED_CONSTANT(PHRASE),
    SHARED_CONSTANT(STARTS), SHARED_CONSTANT(WHOLE_TITLE), SHARED_CONSTANT(TITLE_WORDS),
    SHARED_CONSTANT(NUMBERS_MATCHED), SHARED_CONSTANT(NUMBERS_CLASH),
    SHARED_CONSTANT(QUERY_WORDS), SHARED_CONSTANT(UNKNOWN_WORDS), SHARED_CONSTANT(SHARPNESS),
    SHARED_CONSTANT(HOLDERS), SHARED_CONSTANT(LEXICAL_FEATURES),
    SHARED_CONSTANT(STOP_WORD), SHARED_CONSTANT(NUMBER), SHARED_CONSTANT(MOST_KEYS),
    SHARED_CONSTANT(MOST_HOLDERS),
    SHARED_CONSTANT(OUT_OF_MEMORY),
    SHARED_END,
};

/* Buffers of one call. Lines have `step` entries, the candidates rounded up to whole blocks. */
typedef struct {
    int32_t *rows;   /* [step]: -1 where the index lacks the row, and behind the candidates */
    float *features; /* [LEXICAL_FEATURES, step] */
    /* [step + BLOCK]: the candidates that have a word, their rows, and where those were found. */
    int32_t *found, *found_rows, *found_at;
    float *holds; /* [step]: 1 for the candidates that hold a word */
    int64_t step;
} Scratch;

static inline float *line(Scratch s, int feature) { return s.features + feature * s.step; }

/* ---- What the texts have ---- */

/* Searches BLOCK rows in a list: at[l] is where rows[l] stands, if it does. The list may be a
 * thousand times longer than there are candidates, so it is halved and never read through. The
 * choice between two addresses needs no branch, which would be mispredicted half of the time. */
static inline void search_from(const int32_t *low[BLOCK], int64_t n, const int32_t *rows) {
    while (n > 1) {
        const int64_t half = n / 2;
#pragma GCC unroll 16
        for (int l = 0; l < BLOCK; l++) {
            const int32_t *middle = low[l] + half;
            low[l] = *middle <= rows[l] ? middle : low[l];
        }
        n -= half;
    }
}

static inline void search(const int32_t *list, int64_t n, const int32_t *rows, int32_t *at) {
    const int32_t *low[BLOCK];
    for (int l = 0; l < BLOCK; l++) low[l] = list;
    search_from(low, n, rows);
    for (int l = 0; l < BLOCK; l++) at[l] = (int32_t)(low[l] - list);
}

static inline float higher(float a, float b) { return a > b ? a : b; }
static inline float lower(float a, float b) { return a < b ? a : b; }

/* Adds what the texts match of one word of this weight, and the titles. Values, and the list of
 * titles, are read only for the candidates whose text matches the word: any read may be slow.
 * Returns how many those are. */
static int64_t add_word(const AskedWord *word, float weight, Scratch s) {
    const RowValues items = word->items, titles = word->titles;
    float *bm25 = line(s, BM25), *text = line(s, TEXT_COVERAGE), *title = line(s, TITLE_COVERAGE);
    int64_t n_found = 0;
    for (int64_t x = 0; items.n && x < s.step; x += BLOCK) {
        int32_t at[BLOCK];
        float has[BLOCK];
        search(items.rows, items.n, s.rows + x, at);
        for (int l = 0; l < BLOCK; l++) {
            const int found = items.rows[at[l]] == s.rows[x + l];
            has[l] = found;
            s.found[n_found] = (int32_t)(x + l), s.found_rows[n_found] = s.rows[x + l];
            s.found_at[n_found] = at[l], n_found += found;
        }
        for (int l = 0; l < BLOCK; l++) text[x + l] += has[l] * weight;
    }
    for (int64_t f = 0; f < n_found; f++) bm25[s.found[f]] += items.values[s.found_at[f]];
    for (int l = 0; l < BLOCK; l++) s.found_rows[n_found + l] = -1;
    for (int64_t f = 0; titles.n && f < n_found; f += BLOCK) {
        int32_t at[BLOCK];
        search(titles.rows, titles.n, s.found_rows + f, at);
        for (int l = 0; l < BLOCK; l++)
            if (titles.rows[at[l]] == s.found_rows[f + l])
                title[s.found[f + l]] += weight * titles.values[at[l]];
    }
    return n_found;
}

/* Writes which candidates hold a word, of those n_found that match it. n_items: how many rows match
 * it. All rows of `held` are among these, so a row stands at most that many places further ahead as
 * others are between them: mostly few, because most matches are the word itself. */
static void find_holders(RowValues held, int64_t n_items, int64_t n_found, Scratch s) {
    const int64_t others = n_items - held.n, window = others + 1 < held.n ? others + 1 : held.n;
    memset(s.holds, 0, s.step * sizeof *s.holds);
    for (int l = 0; l < BLOCK; l++) s.found_at[n_found + l] = 0;
    for (int64_t f = 0; held.n && f < n_found; f += BLOCK) {
        const int32_t *low[BLOCK];
        for (int l = 0; l < BLOCK; l++) {
            int64_t first = s.found_at[f + l] - others;
            first = first < 0 ? 0 : first;
            low[l] = held.rows + (first < held.n - window ? first : held.n - window);
        }
        search_from(low, window, s.found_rows + f);
        for (int l = 0; l < BLOCK; l++)
            if (*low[l] == s.found_rows[f + l]) s.holds[s.found[f + l]] = 1;
    }
}

static void of_texts(PairRequest q, Scratch s) {
    const AskedQuery *query = q.query;
    float *exact = line(s, EXACT_COVERAGE), *missing = line(s, MISSING_WORDS);
    float *rarest = line(s, RAREST_MISSING), *numbers = line(s, NUMBERS_MATCHED);
    double total = 0;
    float highest = 0;
    int n_numbers = 0;
    for (int64_t w = 0; w < q.n_words; w++) total += q.idf[w], highest = higher(highest, q.idf[w]);
    for (int64_t w = 0; w < q.n_words; w++) {
        const AskedWord *word = query->words + w;
        const float weight = q.idf[w] / (float)total, idf = q.idf[w];
        const int replaced = q.replaced >> w & 1;
        const int64_t n_found = add_word(word, weight, s);
        find_holders(replaced ? word->instead : word->exactly, word->items.n, n_found, s);
        /* What a candidate has that holds the word, and what it does not miss then. */
        const float itself = replaced ? 0 : weight, saved = replaced ? 0 : idf;
        const float number = word->is_number && !replaced;
        n_numbers += word->is_number != 0;
        /* By blocks of a fixed length, which the compiler turns into vectors. */
        for (int64_t x = 0; x < s.step; x += BLOCK) {
            const float *holds = s.holds + x;
            for (int l = 0; l < BLOCK; l++) missing[x + l] += 1 - holds[l];
            for (int l = 0; l < BLOCK; l++)
                rarest[x + l] = higher(rarest[x + l], idf - holds[l] * saved);
            for (int l = 0; l < BLOCK; l++) exact[x + l] += holds[l] * itself;
            if (number)
                for (int l = 0; l < BLOCK; l++) numbers[x + l] += holds[l];
        }
    }
    const float limit = (float)(2.2 * total);
    float *bm25 = line(s, BM25), *title = line(s, TITLE_COVERAGE);
    float *text = line(s, TEXT_COVERAGE), *all = line(s, HOLDS_ALL);
    for (int64_t x = 0; x < s.step; x += BLOCK) {
        for (int l = 0; l < BLOCK; l++) bm25[x + l] /= limit;
        for (int l = 0; l < BLOCK; l++) title[x + l] = lower(title[x + l], 1);
        for (int l = 0; l < BLOCK; l++) text[x + l] = lower(text[x + l], 1);
        for (int l = 0; l < BLOCK; l++) exact[x + l] = lower(exact[x + l], 1);
        for (int l = 0; l < BLOCK; l++) all[x + l] = missing[x + l] == 0;
        for (int l = 0; l < BLOCK; l++) rarest[x + l] /= highest;
        if (n_numbers)
            for (int l = 0; l < BLOCK; l++) numbers[x + l] /= n_numbers;
    }
}

/* ---- What the titles have ---- */

/* A query, prepared to be compared with titles. */
typedef struct {
    const AskedQuery *query;
    uint64_t some;                /* bit b: a word whose number ends in b has a key */
    int32_t read[MOST_KEYS];      /* keys of the words that are read */
    uint8_t is_read[MOST_KEYS], is_number[MOST_KEYS]; /* by key */
    int32_t typed[MOST_KEYS];     /* by key: how often it is typed */
    int has_number;
} Prepared;

static void prepare(const AskedQuery *query, Prepared *p) {
    memset(p, 0, sizeof *p);
    p->query = query;
    for (int64_t k = 0; k < query->n_keys; k++) p->some |= 1ULL << (query->vocabulary[k] & 63);
    for (int64_t w = 0; w < query->n_words; w++) {
        const AskedWord *word = query->words + w;
        p->read[w] = (int32_t)word->key;
        p->is_read[word->key] = 1;
        if (word->is_number) p->is_number[word->key] = 1, p->has_number = 1;
    }
    for (int64_t t = 0; t < query->n_typed; t++) p->typed[query->typed[t]]++;
}

/* The key of a word of the vocabulary, -1 if the query lacks it: most words of titles. */
static inline int32_t key_of(const Prepared *p, int32_t word) {
    if (!(p->some >> (word & 63) & 1)) return -1;
    for (int64_t k = 0; k < p->query->n_keys; k++)
        if (p->query->vocabulary[k] == word) return p->query->keys[k];
    return -1;
}

static void of_title(const Prepared *p, const Titles *titles, const float *log1p, int64_t x,
                     Scratch s) {
    const AskedQuery *query = p->query;
    const int64_t first = titles->offsets[s.rows[x]], end = titles->offsets[s.rows[x] + 1];
    int32_t runs[MOST_KEYS] = {0}; /* of the words of the query: how long a run ends here */
    int32_t left[MOST_KEYS];       /* by key: how often it is typed and not in the title yet */
    int n_words = 0, n_covered = 0, longest = 0, running = 0, starts = 0;
    int numbers = 0, same_number = 0, whole = query->n_typed && end - first == query->n_typed;
    if (whole) memcpy(left, p->typed, sizeof left);
    for (int64_t i = first; i < end; i++) {
        const int32_t word = titles->words[i], key = key_of(p, word);
        if (whole && (key < 0 || left[key]-- == 0)) whole = 0;
        if (titles->kinds[word] & STOP_WORD && !query->stop_words) continue;
        if (titles->kinds[word] & NUMBER) numbers = 1;
        const int read = key >= 0 && p->is_read[key];
        if (!n_words++) starts = key == p->read[0];
        if (!read) {
            if (running) memset(runs, 0, query->n_words * sizeof *runs), running = 0;
            continue;
        }
        n_covered++, running = 1;
        if (p->is_number[key]) same_number = 1;
        for (int64_t w = query->n_words; w-- > 0;) {
            runs[w] = p->read[w] != key ? 0 : w ? runs[w - 1] + 1 : 1;
            if (runs[w] > longest) longest = runs[w];
        }
    }
    line(s, TITLE_COVERED)[x] = n_words ? (float)n_covered / n_words : 0;
    line(s, PHRASE)[x] = (float)longest / query->n_words;
    line(s, STARTS)[x] = starts;
    line(s, WHOLE_TITLE)[x] = whole;
    line(s, TITLE_WORDS)[x] = log1p[n_words];
    line(s, NUMBERS_CLASH)[x] = p->has_number && numbers && !same_number;
}

/* Titles lie all over the memory: each is asked for some candidates ahead. */
static void of_titles(const AskedQuery *query, const Titles *titles, const float *log1p,
                      int64_t n, Scratch s) {
    Prepared p;
    prepare(query, &p);
    for (int64_t x = 0; x < n + 2 * AHEAD; x++) {
        if (x < n && s.rows[x] >= 0) __builtin_prefetch(titles->offsets + s.rows[x]);
        const int64_t words = x - AHEAD, now = x - 2 * AHEAD;
        if (words >= 0 && words < n && s.rows[words] >= 0)
            __builtin_prefetch(titles->words + titles->offsets[s.rows[words]]);
        if (now >= 0 && s.rows[now] >= 0) of_title(&p, titles, log1p, now, s);
    }
}

/* ---- Requests ---- */

static void of_pairs(const Titles *titles, PairRequest q, const float *log1p, Scratch s,
                     float *out, int64_t n) {
    s.step = (q.n_rows + BLOCK - 1) / BLOCK * BLOCK;
    memset(s.features, 0, LEXICAL_FEATURES * s.step * sizeof *s.features);
    if (q.n_words) {
        for (int64_t x = 0; x < s.step; x++) {
            const int inside = x < q.n_rows && q.rows[x] >= 0 && q.rows[x] < titles->n_items;
            s.rows[x] = inside ? (int32_t)q.rows[x] : -1;
        }
        of_texts(q, s);
        of_titles(q.query, titles, log1p, q.n_rows, s);
        for (int64_t x = 0; x < q.n_rows; x++)
            if (s.rows[x] < 0)
                for (int i = 0; i < LEXICAL_FEATURES; i++) line(s, i)[x] = 0;
    }
    for (int i = 0; i < LEXICAL_FEATURES; i++)
        memcpy(out + i * n, line(s, i), q.n_rows * sizeof *out);
}

/* Writes out[LEXICAL_FEATURES, n], where the requests have n candidates together; what
 * `finish_lexical_features` computes is 0. log1p: of 0, 1 … as many as a title has words.
 * Returns 0 or OUT_OF_MEMORY. */
int lexical_features_of_pairs(const Titles *titles, const PairRequest *requests,
                              int64_t n_requests, const float *log1p, float *out, int64_t n) {
    int64_t most = 0;
    for (const PairRequest *q = requests; q < requests + n_requests; q++)
        if (q->n_rows > most) most = q->n_rows;
    const int64_t step = most + 2 * BLOCK;
    const size_t line_bytes = step * sizeof(float);
    char *memory = malloc((LEXICAL_FEATURES + 5) * line_bytes);
    if (!memory) return OUT_OF_MEMORY;
    int32_t *rows = (int32_t *)memory;
    const Scratch s = {
        .rows = rows, .found = rows + step, .found_rows = rows + 2 * step,
        .found_at = rows + 3 * step, .holds = (float *)(memory + 4 * line_bytes),
        .features = (float *)(memory + 5 * line_bytes),
    };
    for (const PairRequest *q = requests; q < requests + n_requests; q++) {
        of_pairs(titles, *q, log1p, s, out, n);
        out += q->n_rows;
    }
    free(memory);
    return 0;
}

static void fill(float *out, int64_t n, float value) {
    for (int64_t x = 0; x < n; x++) out[x] = value;
}

/* Writes the lines that depend on all candidates of a request, or on none. log1p: of 0, 1 … as many
 * as a request has candidates. log_items: log(1 + number of items). Returns 0 or OUT_OF_MEMORY. */
int finish_lexical_features(const PairRequest *requests, int64_t n_requests, const float *log1p,
                            double log_items, float *out, int64_t n) {
    uint64_t *keys = malloc((n + 1) * sizeof *keys), *other = malloc((n + 1) * sizeof *other);
    const int allocated = keys && other;
    for (const PairRequest *q = requests; allocated && q < requests + n_requests; q++) {
        float highest = 0;
        int64_t holders = 0;
        for (int64_t w = 0; w < q->n_words; w++) highest = higher(highest, q->idf[w]);
        for (int64_t x = 0; x < q->n_rows; x++) holders += out[HOLDS_ALL * n + x] > 0;
        if (q->n_rows) rank(out + BM25 * n, q->n_rows, log1p, keys, other, out + BM25_RANK * n);
        fill(out + QUERY_WORDS * n, q->n_rows, q->n_words);
        fill(out + UNKNOWN_WORDS * n, q->n_rows,
             q->n_words ? (float)((double)q->n_unknown / q->n_words) : 0);
        fill(out + SHARPNESS * n, q->n_rows, (float)(highest / log_items));
        fill(out + HOLDERS * n, q->n_rows, log1p[holders < MOST_HOLDERS ? holders : MOST_HOLDERS]);
        out += q->n_rows;
    }
    free(keys), free(other);
    return allocated ? 0 : OUT_OF_MEMORY;
}
