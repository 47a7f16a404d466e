/* Dense layers on AMX, for encoder_dense.h: its tiles multiply 16 rows by 64 of k with 64 of k by
 * 16 columns.
 *
 * Instructions are written as assembly: only recent compilers know them as functions, and some of
 * those forget that the instructions read and write memory.
 */
#define TILE_LOAD(tile, from, stride) \
    __asm__ volatile( \
        "tileloadd (%0,%1,1), %%tmm" #tile :: "r"(from), "r"((long)(stride)) : "memory")
#define TILE_STORE(tile, to) \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" :: "r"(to), "r"(64L) : "memory")
#define TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile ::)
/* Adds to tile `sum` the products of unsigned rows and signed weights. */
#define TILE_DOT(sum, rows, weights) \
    __asm__ volatile("tdpbusd %%tmm" #weights ", %%tmm" #rows ", %%tmm" #sum ::)

enum { TILE_ROWS = 16, TILE_K = 64 };

/* Sets up the tiles of this thread. They are released as soon as it is done: while it has them,
 * each switch to another thread saves 8 KB more. */
static void configure_tiles(void) {
    struct { uint8_t palette, start, reserved[14]; uint16_t columns[16]; uint8_t rows[16]; } shape;
    memset(&shape, 0, sizeof shape);
    shape.palette = 1;
    for (int i = 0; i < 8; i++) shape.columns[i] = TILE_K, shape.rows[i] = TILE_ROWS;
    __asm__ volatile("ldtilecfg %0" :: "m"(shape));
}

static void release_tiles(void) { __asm__ volatile("tilerelease" ::); }

/* m rounded up to whole tiles. */
static int tile_rows(int m) { return (m + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS; }

/* sums: the products of 16 rows and two panels. The first rows that meet the weights prefetch them,
 * a page (4096 bytes) ahead. */
static inline __attribute__((always_inline)) void tile_amx(
    const int first, const uint8_t *x, int stride, int k, const int8_t *w, size_t panel,
    int32_t sums[2][TILE_ROWS * PANEL]) {
    TILE_ZERO(0); TILE_ZERO(1);
    for (int i = 0; i < k; i += TILE_K, w += TILE_K * PANEL) {
        if (first)
            for (int line = 0; line < TILE_K * PANEL; line += 64) {
                _mm_prefetch((const char *)w + 4096 + line, _MM_HINT_T0);
                _mm_prefetch((const char *)w + panel + 4096 + line, _MM_HINT_T0);
            }
        TILE_LOAD(2, x + i, stride);
        TILE_LOAD(4, w, 64);
        TILE_LOAD(5, w + panel, 64);
        TILE_DOT(0, 2, 4);
        TILE_DOT(1, 2, 5);
    }
    TILE_STORE(0, sums[0]); TILE_STORE(1, sums[1]);
}

static AVX512 void rows_amx(Rows x, int r, int m, int k, Dense d, int p, float *y, int n, int add) {
    int32_t sums[2][TILE_ROWS * PANEL] __attribute__((aligned(64)));
    __m512 total[2][TILE_ROWS];
    const int8_t *w = d.weight + (size_t)p * k;
    const int rows = m - r < TILE_ROWS ? m - r : TILE_ROWS;
    for (int from = 0, take; from < k; from += take, w += (size_t)take * PANEL) {
        take = k - from < BLOCK ? k - from : BLOCK;
        const uint8_t *bytes = x.bytes + (size_t)r * k + from;
        if (r) tile_amx(0, bytes, k, take, w, (size_t)PANEL * k, sums);
        else tile_amx(1, bytes, k, take, w, (size_t)PANEL * k, sums);
        for (int half = 0; half < 2; half++) {
            const float *scales = d.scale + (size_t)(from / BLOCK) * n + p + PANEL * half;
            const __m512 scale = _mm512_loadu_ps(scales);
            for (int t = 0; t < rows; t++) {
                __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums[half] + PANEL * t));
                __m512 before = from ? total[half][t] : _mm512_setzero_ps();
                total[half][t] = _mm512_fmadd_ps(sum, scale, before);
            }
        }
    }
    for (int half = 0; half < 2; half++) {
        const int at = p + PANEL * half;
        const __m512 column_sums = _mm512_loadu_ps(d.sums + at);
        const __m512 bias = _mm512_loadu_ps(d.bias + at);
        for (int t = 0; t < rows; t++) {
            float *to = y + (size_t)(r + t) * n + at;
            __m512 b = _mm512_fmadd_ps(_mm512_set1_ps(x.least[r + t]), column_sums, bias);
            if (add) b = _mm512_add_ps(b, _mm512_loadu_ps(to));
            __m512 scale = _mm512_set1_ps(x.scale[r + t]);
            _mm512_storeu_ps(to, _mm512_fmadd_ps(total[half][t], scale, b));
        }
    }
}

static AVX512 void dense_amx(Rows x, int m, int k, Dense d, float *y, int n, int add) {
    for (int p = 0; p < n; p += 2 * PANEL)
        for (int r = 0; r < m; r += TILE_ROWS) rows_amx(x, r, m, k, d, p, y, n, add);
}
