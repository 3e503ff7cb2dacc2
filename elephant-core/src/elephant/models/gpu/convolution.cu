// A size-preserving convolution.
//
// Compiled for one kernel (KZ, K, K), one block of voxels (BZ, BY, 16 BX) and a number of OUTPUTS that a block computes;
// at least BLOCKS of them run on a multiprocessor.

constexpr int TAPS = KZ * K * K, TILES = OUTPUTS / 8;
constexpr int HY = BY + K - 1, HX = 16 * BX + K - 1, HALO = (BZ + KZ - 1) * HY * HX;  // what a block reads, in voxels
// A voxel's 16 channels are in two halves, far apart, so that eight voxels in a row are in different banks.
constexpr int HALF = HALO * 16;
static_assert(BZ * BY * BX == ROWS * THREADS / 32, "each warp has four rows");

// weights: (outputs / OUTPUTS, inputs / 16, taps, OUTPUTS / 8, 32 lanes, 4), as gpu.prepare arranges them.
// added: an image that is added to the result before it is rectified; or none.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    convolve(const bf16* in, int n_channels, const bf16* weights, const float* bias, const bf16* added, bf16* out,
             int depth, int height, int width, float slope) {
  extern __shared__ __align__(16) unsigned char shared[];
  const u32 image = static_cast<u32>(__cvta_generic_to_shared(shared)), kernel = image + 2 * HALF;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int nx = (width + 16 * BX - 1) / (16 * BX), ny = (height + BY - 1) / BY;
  const int x0 = blockIdx.x % nx * 16 * BX, y0 = blockIdx.x / nx % ny * BY, z0 = blockIdx.x / nx / ny * BZ;
  const int n_chunks = n_channels / CHANNELS, n_outputs = gridDim.y * OUTPUTS;

  u32 rows[ROWS];  // what this thread reads of the first voxels of each row
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int row = warp * ROWS + r;
    const int voxel = (row / (BY * BX) * HY + row / BX % BY) * HX + row % BX * 16;
    rows[r] = image + (voxel + lane % 16) * 16 + lane / 16 * HALF;
  }
  float sums[ROWS][TILES][4] = {};

  for (int chunk = 0; chunk < n_chunks; chunk++) {
    for (int i = threadIdx.x; i < HALO * 2; i += THREADS) {
      const int voxel = i / 2, half = i % 2;
      const int x = x0 + voxel % HX - K / 2, y = y0 + voxel / HX % HY - K / 2, z = z0 + voxel / (HX * HY) - KZ / 2;
      const bool is_inside = x >= 0 && x < width && y >= 0 && y < height && z >= 0 && z < depth;
      const i64 position = ((i64(blockIdx.z) * depth + z) * height + y) * width + x;
      const bf16* from = is_inside ? in + position * n_channels + chunk * CHANNELS + half * VECTOR : in;
      copy16(image + half * HALF + voxel * 16, from, is_inside);
    }
    copy_weights<OUTPUTS>(kernel, weights + (i64(blockIdx.y) * n_chunks + chunk) * TAPS * TILES * 128, TAPS);
    wait_for_copies();
#pragma unroll
    for (int tap = 0; tap < TAPS; tap++) {
      const int offset = (tap / (K * K) * HY + tap / K % K) * HX + tap % K;
      multiply_rows(sums, rows, offset * 16, kernel + tap * TILES * 256);
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
        write_pair(sums[r][t] + 2 * part, bias + output, added, out, voxel * n_outputs + output, slope);
      }
    }
  }
}
