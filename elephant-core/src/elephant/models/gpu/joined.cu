// A convolution, with a kernel of (KZ, 3, 3), of two images: the second, after the first, is enlarged by (FZ, 2, 2).
//
// Voxels at even and at odd places see the second image differently, but each in fewer voxels than the kernel has: along
// an enlarged axis two of its three weights fall upon the same voxel. A warp computes voxels that are alike in this, by
// the sums of the weights. Compiled for one block of (BZ, BY, 32) voxels and a number of OUTPUTS that a block computes;
// at least BLOCKS of them run on a multiprocessor.

constexpr int K = 3, BX = 32, TAPS = KZ * K * K, TILES = OUTPUTS / 8;
// Warps by the parity of their voxels.
constexpr int PARITIES = 4 * FZ, WARPS_EACH = THREADS / 32 / PARITIES;
// What a block reads of the first image, in voxels. Along X those at even places come first, so that voxels of a warp
// are adjacent. A voxel's 16 channels are in two halves, far apart, so that eight in a row are in different banks.
constexpr int HY = BY + K - 1, HX = BX + K - 1, HALO = (BZ + KZ - 1) * HY * HX, HALF = HALO * 16;
// What it reads of the second, and how many voxels of that each voxel sees.
constexpr int SZ = FZ == 2 ? BZ / 2 + 2 : BZ + KZ - 1, SY = BY / 2 + 2, SX = BX / 2 + 2;
constexpr int SMALL = SZ * SY * SX, SMALL_HALF = SMALL * 16, SMALL_Z = FZ == 2 ? 2 : KZ, SMALL_TAPS = SMALL_Z * 4;
static_assert(BZ / FZ * (BY / 2) == ROWS * WARPS_EACH, "each warp has four rows of 16 voxels of one parity");

// weights: (outputs / OUTPUTS, inputs / 16, taps, OUTPUTS / 8, 32 lanes, 4) of the first image, as gpu.prepare arranges
// them; small_weights likewise of the second, with parities (Z, Y, X) before the taps.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    convolve_joined(const bf16* first, const bf16* second, int n_first, int n_second, const bf16* weights,
                    const bf16* small_weights, const float* bias, bf16* out, int depth, int height, int width,
                    float slope) {
  extern __shared__ __align__(16) unsigned char shared[];
  const u32 image = static_cast<u32>(__cvta_generic_to_shared(shared));
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int nx = (width + BX - 1) / BX, ny = (height + BY - 1) / BY;
  const int x0 = blockIdx.x % nx * BX, y0 = blockIdx.x / nx % ny * BY, z0 = blockIdx.x / nx / ny * BZ;
  const int n_outputs = gridDim.y * OUTPUTS;
  const int parity = warp / WARPS_EACH, px = parity % 2, py = parity / 2 % 2, pz = parity / 4;

  u32 rows[ROWS], small_rows[ROWS];  // what this thread reads of the first voxels of each row, in both images
  int row_z[ROWS], row_y[ROWS];      // in the block
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int row = warp % WARPS_EACH * ROWS + r, z = row / (BY / 2), y = row % (BY / 2);
    row_z[r] = z * FZ + pz, row_y[r] = y * 2 + py;
    rows[r] = image + ((row_z[r] * HY + row_y[r]) * HX + lane % 16) * 16 + lane / 16 * HALF;
    small_rows[r] = image + (((z + pz) * SY + y + py) * SX + px + lane % 16) * 16 + lane / 16 * SMALL_HALF;
  }
  u32 columns[K];  // where the neighbours along X are
#pragma unroll
  for (int k = 0; k < K; k++) columns[k] = ((px + k) % 2 * (HX / 2) + (px + k) / 2) * 16;
  float sums[ROWS][TILES][4] = {};

  for (int chunk = 0; chunk < n_first / CHANNELS; chunk++) {
    for (int i = threadIdx.x; i < HALO * 2; i += THREADS) {
      const int voxel = i / 2, half = i % 2, column = voxel % HX;
      const int x = x0 + column - 1, y = y0 + voxel / HX % HY - 1, z = z0 + voxel / (HX * HY) - KZ / 2;
      const bool is_inside = x >= 0 && x < width && y >= 0 && y < height && z >= 0 && z < depth;
      const i64 position = ((i64(blockIdx.z) * depth + z) * height + y) * width + x;
      const bf16* from = is_inside ? first + position * n_first + chunk * CHANNELS + half * VECTOR : first;
      const int place = voxel - column + column % 2 * (HX / 2) + column / 2;
      copy16(image + half * HALF + place * 16, from, is_inside);
    }
    const i64 own = (i64(blockIdx.y) * (n_first / CHANNELS) + chunk) * TAPS * TILES * 128;
    copy_weights<OUTPUTS>(image + 2 * HALF, weights + own, TAPS);
    wait_for_copies();
#pragma unroll
    for (int tap = 0; tap < TAPS; tap++) {
      const int offset = (tap / (K * K) * HY + tap / K % K) * HX;
      multiply_rows(sums, rows, columns[tap % K] + offset * 16, image + 2 * HALF + tap * TILES * 256);
    }
    __syncthreads();
  }

  const i64 small_depth = depth / FZ, small_height = height / 2, small_width = width / 2;
  for (int chunk = 0; chunk < n_second / CHANNELS; chunk++) {
    for (int i = threadIdx.x; i < SMALL * 2; i += THREADS) {
      const int voxel = i / 2, half = i % 2;
      const int x = x0 / 2 + voxel % SX - 1, y = y0 / 2 + voxel / SX % SY - 1;
      const int z = z0 / FZ + voxel / (SX * SY) - (FZ == 2 ? 1 : KZ / 2);
      const bool is_inside =
          x >= 0 && x < small_width && y >= 0 && y < small_height && z >= 0 && z < small_depth;
      const i64 position = ((blockIdx.z * small_depth + z) * small_height + y) * small_width + x;
      const bf16* from = is_inside ? second + position * n_second + chunk * CHANNELS + half * VECTOR : second;
      copy16(image + half * SMALL_HALF + voxel * 16, from, is_inside);
    }
    const i64 own = (i64(blockIdx.y) * (n_second / CHANNELS) + chunk) * PARITIES * SMALL_TAPS * TILES * 128;
    copy_weights<OUTPUTS>(image + 2 * SMALL_HALF, small_weights + own, PARITIES * SMALL_TAPS);
    wait_for_copies();
    const u32 kernel = image + 2 * SMALL_HALF + parity * SMALL_TAPS * TILES * 256;
#pragma unroll
    for (int tap = 0; tap < SMALL_TAPS; tap++) {
      const int offset = (tap / 4 * SY + tap / 2 % 2) * SX + tap % 2;
      multiply_rows(sums, small_rows, offset * 16, kernel + tap * TILES * 256);
    }
    __syncthreads();
  }

#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int z = z0 + row_z[r], y = y0 + row_y[r];
#pragma unroll
    for (int part = 0; part < 2; part++) {
      const int x = x0 + (part * 8 + lane / 4) * 2 + px;
      if (z >= depth || y >= height || x >= width) continue;
      const i64 voxel = ((i64(blockIdx.z) * depth + z) * height + y) * width + x;
#pragma unroll
      for (int t = 0; t < TILES; t++) {
        const int output = blockIdx.y * OUTPUTS + t * 8 + lane % 4 * 2;
        write_pair(sums[r][t] + 2 * part, bias + output, nullptr, out, voxel * n_outputs + output, slope);
      }
    }
  }
}
