/* Dense layers on AMX, for encoder_kernel_dense.h.
 *
 * Its tiles multiply bytes: 16 rows by 64 of k, times 64 of k by 16 columns. So rows lie apart in
 * high and low bytes, and two products make one of 16-bit integers by bytes.
 * Instructions are spelt out: compilers know them as functions only since lately, and some forget
 * that they touch memory.
 */
#define TILE_LOAD(tile, from, stride) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile :: "r"(from), "r"((long)(stride)) : "memory")
#define TILE_STORE(tile, to) \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" :: "r"(to), "r"(64L) : "memory")
#define TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile ::)
/* To tile `sum`, rows times weights; s is signed, u is not. */
#define TILE_DOT(signs, sum, rows, weights) \
    __asm__ volatile("tdpb" #signs "d %%tmm" #weights ", %%tmm" #rows ", %%tmm" #sum ::)

enum { TILE_ROWS = 16, TILE_K = 64, TILE_BYTES = 1024 };

/* Tiles belong to a thread. While it has them, each switch to another thread costs more. */
static void take_tiles(void) {
    struct { uint8_t palette, start, reserved[14]; uint16_t columns[16]; uint8_t rows[16]; } shape;
    memset(&shape, 0, sizeof shape);
    shape.palette = 1;
    for (int i = 0; i < 8; i++) shape.columns[i] = TILE_K, shape.rows[i] = TILE_ROWS;
    __asm__ volatile("ldtilecfg %0" :: "m"(shape));
}

static void leave_tiles(void) { __asm__ volatile("tilerelease" ::); }

static int rows_of_tiles(int m) { return (m + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS; }

/* Where the byte of weight i of column c lies. */
static size_t place_amx(int c, int i, int k) {
    size_t tile = (size_t)(c / 16) * (k / TILE_K) + i / TILE_K;
    return tile * TILE_BYTES + i % TILE_K / 4 * 64 + c % 16 * 4 + i % 4;
}

/* Leaves the sums of 16 rows and 16 columns. Who meets the weights first asks for them ahead. */
static inline __attribute__((always_inline)) void tile_amx(
    const int first, const int8_t *high, const int8_t *low, int stride, int k, const int8_t *w,
    int32_t *upper, int32_t *lower) {
    TILE_ZERO(0); TILE_ZERO(1);
    for (int i = 0; i < k; i += TILE_K, w += TILE_BYTES) {
        if (first)
            for (int line = 0; line < TILE_BYTES; line += 64)
                _mm_prefetch((const char *)w + 4096 + line, _MM_HINT_T0);
        TILE_LOAD(2, high + i, stride);
        TILE_LOAD(4, w, 64);
        TILE_LOAD(3, low + i, stride);
        TILE_DOT(ss, 0, 2, 4);
        TILE_DOT(us, 1, 3, 4);
    }
    TILE_STORE(0, upper); TILE_STORE(1, lower);
}

static AVX512 void dense_amx(
    const int16_t *x, const float *sx, int m, int k, Dense d, float *y, int n, int add) {
    const int8_t *high = (const int8_t *)x, *low = high + (size_t)rows_of_tiles(m) * k;
    int32_t sums[2][TILE_ROWS * 16] __attribute__((aligned(64)));
    for (int p = 0; p < n; p += 16)
        for (int from = 0, take_k; from < k; from += take_k) {
            take_k = k - from < BLOCK ? k - from : BLOCK;
            const int8_t *w = (const int8_t *)d.weight + (size_t)p * k + (size_t)from * 16;
            const __m512 scale = _mm512_loadu_ps(d.scale + (size_t)(from / BLOCK) * n + p);
            const __m512 bias = from ? _mm512_setzero_ps() : _mm512_loadu_ps(d.bias + p);
            for (int r = 0; r < m; r += TILE_ROWS) {
                const size_t at = (size_t)r * k + from;
                if (r)
                    tile_amx(0, high + at, low + at, k, take_k, w, sums[0], sums[1]);
                else
                    tile_amx(1, high + at, low + at, k, take_k, w, sums[0], sums[1]);
                for (int t = 0; t < TILE_ROWS && r + t < m; t++) {
                    __m512i sum = _mm512_slli_epi32(_mm512_load_si512(sums[0] + 16 * t), 8);
                    sum = _mm512_add_epi32(sum, _mm512_load_si512(sums[1] + 16 * t));
                    float *to = y + (size_t)(r + t) * n + p;
                    __m512 b = add || from ? _mm512_add_ps(bias, _mm512_loadu_ps(to)) : bias;
                    __m512 f = _mm512_mul_ps(scale, _mm512_set1_ps(sx[r + t]));
                    _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), f, b));
                }
            }
        }
}
