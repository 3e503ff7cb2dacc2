// The first convolution, of an image (N, inputs, Z, Y, X) in float32 with few inputs, to 16 outputs.
//
// Compiled for one kernel (KZ, K, K) and one block of (DEPTH, 8, 32) voxels, of which a thread computes a column.

constexpr int OUTPUTS = 16, TAPS = KZ * K * K;
constexpr int BX = 32, BY = THREADS / BX, HX = BX + K - 1, HY = BY + K - 1, HZ = DEPTH + KZ - 1;

// weights: (inputs, taps, 16)
extern "C" __global__ void __launch_bounds__(THREADS)
    begin(const float* in, int n_inputs, const float* weights, const float* bias, unsigned short* out, int depth,
          int height, int width, float slope) {
  __shared__ float image[HZ * HY * HX];
  __shared__ __align__(16) float kernel[TAPS * OUTPUTS];
  const int own_x = threadIdx.x % BX, own_y = threadIdx.x / BX;
  const int nx = (width + BX - 1) / BX, ny = (height + BY - 1) / BY;
  const int x0 = blockIdx.x % nx * BX, y0 = blockIdx.x / nx % ny * BY, z0 = blockIdx.x / nx / ny * DEPTH;
  const i64 n_voxels = i64(depth) * height * width;
  float sums[DEPTH][OUTPUTS];
#pragma unroll
  for (int z = 0; z < DEPTH; z++)
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++) sums[z][o] = bias[o];
  for (int c = 0; c < n_inputs; c++) {
    const float* source = in + (i64(blockIdx.z) * n_inputs + c) * n_voxels;
    __syncthreads();
    for (int i = threadIdx.x; i < HZ * HY * HX; i += THREADS) {
      const int x = x0 + i % HX - K / 2, y = y0 + i / HX % HY - K / 2, z = z0 + i / (HX * HY) - KZ / 2;
      const bool is_inside = x >= 0 && x < width && y >= 0 && y < height && z >= 0 && z < depth;
      image[i] = is_inside ? source[(i64(z) * height + y) * width + x] : 0.f;
    }
    for (int i = threadIdx.x; i < TAPS * OUTPUTS; i += THREADS) kernel[i] = weights[c * TAPS * OUTPUTS + i];
    __syncthreads();
    for (int plane = 0; plane < K * K; plane++) {
      float column[HZ];
#pragma unroll
      for (int z = 0; z < HZ; z++) column[z] = image[(z * HY + own_y + plane / K) * HX + own_x + plane % K];
#pragma unroll
      for (int tap = 0; tap < KZ; tap++) {
        const float4* own = reinterpret_cast<const float4*>(kernel + (tap * K * K + plane) * OUTPUTS);
#pragma unroll
        for (int o = 0; o < OUTPUTS; o += 4) {
          const float4 weight = own[o / 4];
#pragma unroll
          for (int z = 0; z < DEPTH; z++) {
            sums[z][o] += weight.x * column[z + tap], sums[z][o + 1] += weight.y * column[z + tap];
            sums[z][o + 2] += weight.z * column[z + tap], sums[z][o + 3] += weight.w * column[z + tap];
          }
        }
      }
    }
  }
  const int x = x0 + own_x, y = y0 + own_y;
#pragma unroll
  for (int z = 0; z < DEPTH; z++) {
    if (x >= width || y >= height || z0 + z >= depth) continue;
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++) sums[z][o] = rectified(sums[z][o], slope);
    const i64 voxel = ((i64(blockIdx.z) * depth + z0 + z) * height + y) * width + x;
    uint4* to = reinterpret_cast<uint4*>(out + voxel * OUTPUTS);
    to[0] = packed(sums[z]), to[1] = packed(sums[z] + VECTOR);
  }
}
