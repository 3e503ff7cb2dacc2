// A convolution as products of matrices: 16 voxels along X and 16 channels, times 16 channels and 8 outputs.
//
// Compiled for one kernel (KZ, K, K), one block of voxels (BZ, BY, 16 BX) and a number of OUTPUTS that a block computes;
// at least BLOCKS of them run on a multiprocessor.

typedef unsigned short bf16;

constexpr int CHANNELS = 16;  // that are multiplied at a time
constexpr int ROWS = 4;       // of 16 voxels along X, that a warp computes
constexpr int TAPS = KZ * K * K, TILES = OUTPUTS / 8;
constexpr int HY = BY + K - 1, HX = 16 * BX + K - 1, HALO = (BZ + KZ - 1) * HY * HX;  // what a block reads, in voxels
// A voxel's 16 channels are in two halves, far apart, so that eight voxels in a row are in different banks.
constexpr int HALF = HALO * 16;
static_assert(BZ * BY * BX == ROWS * THREADS / 32, "each warp has four rows");

// Copies 16 bytes to shared memory while the thread goes on; zeros where the source is outside of the image.
__device__ __forceinline__ void copy16(u32 to, const void* from, bool is_inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(is_inside ? 16 : 0));
}

__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
}

__device__ __forceinline__ void read_pair(u32 (&to)[2], u32 from) {
  asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(to[0]), "=r"(to[1]) : "r"(from));
}

__device__ __forceinline__ void read_matrix(u32 (&to)[4], u32 from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(from));
}

__device__ __forceinline__ void multiply(float (&sum)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// first, second: two images, of which the second is enlarged by powers of 2 and comes after the first; channels of each.
// weights: (outputs / OUTPUTS, inputs / 16, taps, OUTPUTS / 8, 32 lanes, 4), as gpu.prepare arranges them.
// added: an image that is added to the result before it is rectified; or none.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    convolve(const bf16* first, const bf16* second, int n_first, int n_second, int shift_z, int shift_y, int shift_x,
             const bf16* weights, const float* bias, const bf16* added, bf16* out, int depth, int height, int width,
             float slope) {
  extern __shared__ __align__(16) unsigned char shared[];
  const u32 image = static_cast<u32>(__cvta_generic_to_shared(shared)), kernel = image + 2 * HALF;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int nx = (width + 16 * BX - 1) / (16 * BX), ny = (height + BY - 1) / BY;
  const int x0 = blockIdx.x % nx * 16 * BX, y0 = blockIdx.x / nx % ny * BY, z0 = blockIdx.x / nx / ny * BZ;
  const int n_chunks = (n_first + n_second) / CHANNELS, n_outputs = gridDim.y * OUTPUTS;

  u32 rows[ROWS];  // what this thread reads of the first voxels of each row
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int row = warp * ROWS + r;
    const int voxel = (row / (BY * BX) * HY + row / BX % BY) * HX + row % BX * 16;
    rows[r] = image + (voxel + lane % 16) * 16 + lane / 16 * HALF;
  }
  float sums[ROWS][TILES][4] = {};

  for (int chunk = 0; chunk < n_chunks; chunk++) {
    const bool is_first = chunk * CHANNELS < n_first;
    const bf16* source = is_first ? first : second;
    const int n_channels = is_first ? n_first : n_second, channel = chunk * CHANNELS - (is_first ? 0 : n_first);
    const int sz = is_first ? 0 : shift_z, sy = is_first ? 0 : shift_y, sx = is_first ? 0 : shift_x;
    const i64 sd = depth >> sz, sh = height >> sy, sw = width >> sx;
    for (int i = threadIdx.x; i < HALO * 2; i += THREADS) {
      const int voxel = i / 2, half = i % 2;
      const int x = x0 + voxel % HX - K / 2, y = y0 + voxel / HX % HY - K / 2, z = z0 + voxel / (HX * HY) - KZ / 2;
      const bool is_inside = x >= 0 && x < width && y >= 0 && y < height && z >= 0 && z < depth;
      const i64 position = ((blockIdx.z * sd + (z >> sz)) * sh + (y >> sy)) * sw + (x >> sx);
      const bf16* from = is_inside ? source + position * n_channels + channel + half * VECTOR : source;
      copy16(image + half * HALF + voxel * 16, from, is_inside);
    }
    const bf16* own = weights + (i64(blockIdx.y) * n_chunks + chunk) * TAPS * TILES * 128;
    for (int i = threadIdx.x; i < TAPS * TILES * 16; i += THREADS) copy16(kernel + i * 16, own + i * VECTOR, true);
    wait_for_copies();

#pragma unroll
    for (int tap = 0; tap < TAPS; tap++) {
      const int offset = (tap / (K * K) * HY + tap / K % K) * HX + tap % K;
      u32 b[TILES][2];
#pragma unroll
      for (int t = 0; t < TILES; t++) read_pair(b[t], kernel + ((tap * TILES + t) * 32 + lane) * 8);
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        u32 a[4];
        read_matrix(a, rows[r] + offset * 16);
#pragma unroll
        for (int t = 0; t < TILES; t++) multiply(sums[r][t], a, b[t]);
      }
    }
    __syncthreads();
  }

#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int row = warp * ROWS + r, z = z0 + row / (BY * BX), y = y0 + row / BX % BY;
#pragma unroll
    for (int part = 0; part < 2; part++) {
      const int x = x0 + row % BX * 16 + part * 8 + lane / 4;
      if (z >= depth || y >= height || x >= width) continue;
      const i64 voxel = ((i64(blockIdx.z) * depth + z) * height + y) * width + x;
#pragma unroll
      for (int t = 0; t < TILES; t++) {
        const int output = blockIdx.y * OUTPUTS + t * 8 + lane % 4 * 2;
        const i64 at = voxel * n_outputs + output;
        float a = sums[r][t][2 * part] + bias[output], b = sums[r][t][2 * part + 1] + bias[output + 1];
        if (added != nullptr) {
          const u32 pair = *reinterpret_cast<const u32*>(added + at);
          a += low(pair), b += high(pair);
        }
        *reinterpret_cast<u32*>(out + at) = pack(rectified(a, slope), rectified(b, slope));
      }
    }
  }
}
