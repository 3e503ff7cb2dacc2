// The last convolution, group normalisation and pooling. Sums of many numbers are in float64.

// The last convolution, with a kernel of 1 and at most 4 outputs, to (N, outputs, Z, Y, X) in float32.
// Weights: (outputs, 16).
extern "C" __global__ void __launch_bounds__(THREADS)
    end(const uint4* in, const float* weights, const float* bias, int n_outputs, float* out, i64 n_voxels) {
  const i64 voxel = blockIdx.x * i64(THREADS) + threadIdx.x;
  if (voxel >= n_voxels) return;
  float values[2 * VECTOR];
  const uint4* own = in + (blockIdx.z * n_voxels + voxel) * 2;
  unpack(own[0], values), unpack(own[1], values + VECTOR);
  for (int o = 0; o < n_outputs; o++) {
    float sum = bias[o];
#pragma unroll
    for (int c = 0; c < 2 * VECTOR; c++) sum += weights[o * 2 * VECTOR + c] * values[c];
    out[(i64(blockIdx.z) * n_outputs + o) * n_voxels + voxel] = sum;
  }
}

// The sums of a part of an image, and of its squares: (N, parts, C, 2). Within a thread they are taken of the difference
// to the first value, so that float32 holds them.
extern "C" __global__ void __launch_bounds__(THREADS)
    sums_of_parts(const uint4* in, int n_channels, i64 n_voxels, int n_each, double* out) {
  __shared__ double shared[2 * VECTOR][THREADS];
  const int n_vectors = n_channels / VECTOR, vector = threadIdx.x % n_vectors, stride = THREADS / n_vectors;
  const i64 start = i64(blockIdx.x) * n_each, stop = min(start + n_each, n_voxels);
  const uint4* image = in + blockIdx.z * n_voxels * n_vectors + vector;
  float origin[VECTOR] = {}, first[VECTOR] = {}, second[VECTOR] = {};
  int n = 0;
  for (i64 voxel = start + threadIdx.x / n_vectors; voxel < stop; voxel += stride, n++) {
    float values[VECTOR];
    unpack(image[voxel * n_vectors], values);
#pragma unroll
    for (int c = 0; c < VECTOR; c++) {
      if (n == 0) origin[c] = values[c];
      const float difference = values[c] - origin[c];
      first[c] += difference, second[c] += difference * difference;
    }
  }
#pragma unroll
  for (int c = 0; c < VECTOR; c++) {
    const double from = origin[c];
    shared[2 * c][threadIdx.x] = first[c] + n * from;
    shared[2 * c + 1][threadIdx.x] = second[c] + from * (2.0 * first[c] + n * from);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 2 * n_channels; i += THREADS) {
    const int channel = i / 2;
    double sum = 0;
    for (int t = channel / VECTOR; t < THREADS; t += n_vectors) sum += shared[channel % VECTOR * 2 + i % 2][t];
    out[(i64(blockIdx.z) * gridDim.x + blockIdx.x) * 2 * n_channels + i] = sum;
  }
}

// What the channels of a group are multiplied by and then added, (N, 2, C), from the sums of parts; a block a group.
extern "C" __global__ void __launch_bounds__(THREADS)
    factors_of_groups(const double* in, int n_channels, int n_parts, i64 n_voxels, const float* weight, const float* bias,
                      float eps, float* out) {
  __shared__ double shared[2][THREADS];
  const int n_own = n_channels / gridDim.x, channel = blockIdx.x * n_own;
  double sums[2] = {};
  for (i64 i = threadIdx.x; i < i64(n_parts) * n_own; i += THREADS) {
    const double* part = in + ((i64(blockIdx.z) * n_parts + i / n_own) * n_channels + channel + i % n_own) * 2;
    sums[0] += part[0], sums[1] += part[1];
  }
  shared[0][threadIdx.x] = sums[0], shared[1][threadIdx.x] = sums[1];
  __syncthreads();
  for (int half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half)
      for (int i = 0; i < 2; i++) shared[i][threadIdx.x] += shared[i][threadIdx.x + half];
    __syncthreads();
  }
  const double n = double(n_voxels) * n_own, mean = shared[0][0] / n;
  const double variance = max(shared[1][0] / n - mean * mean, 0.0);
  if (threadIdx.x < n_own) {
    const int own = channel + threadIdx.x;
    const double factor = weight[own] / sqrt(variance + eps);
    out[(2 * i64(blockIdx.z)) * n_channels + own] = factor;
    out[(2 * i64(blockIdx.z) + 1) * n_channels + own] = bias[own] - mean * factor;
  }
}

// Multiplies each channel and adds to it; factors: (N, 2, C).
extern "C" __global__ void __launch_bounds__(THREADS)
    scale(const uint4* in, const float* factors, int n_channels, i64 n_voxels, uint4* out) {
  const int n_vectors = n_channels / VECTOR, vector = threadIdx.x % n_vectors;
  float factor[VECTOR], offset[VECTOR];
#pragma unroll
  for (int c = 0; c < VECTOR; c++) {
    factor[c] = factors[2 * i64(blockIdx.z) * n_channels + vector * VECTOR + c];
    offset[c] = factors[(2 * i64(blockIdx.z) + 1) * n_channels + vector * VECTOR + c];
  }
  const i64 n = n_voxels * n_vectors, image = blockIdx.z * n;
  // A thread always has the same channels: the number of threads is a multiple of that of vectors.
  for (i64 i = blockIdx.x * i64(THREADS) + threadIdx.x; i < n; i += i64(gridDim.x) * THREADS) {
    float values[VECTOR];
    unpack(in[image + i], values);
#pragma unroll
    for (int c = 0; c < VECTOR; c++) values[c] = values[c] * factor[c] + offset[c];
    out[image + i] = packed(values);
  }
}

// The largest value of each block of voxels, whose size is 1 or 2 along each axis; the shape is the smaller one.
extern "C" __global__ void __launch_bounds__(THREADS)
    pool(const uint4* in, int n_vectors, int factor_z, int factor_y, int factor_x, uint4* out, int z, int y, int x) {
  const i64 i = blockIdx.x * i64(THREADS) + threadIdx.x, n = i64(z) * y * x * n_vectors;
  if (i >= n) return;
  const int vector = i % n_vectors, px = i / n_vectors % x, py = i / n_vectors / x % y, pz = i / n_vectors / x / y;
  float most[VECTOR];
#pragma unroll
  for (int c = 0; c < VECTOR; c++) most[c] = -__int_as_float(0x7f800000);
  for (int dz = 0; dz < factor_z; dz++)
    for (int dy = 0; dy < factor_y; dy++)
      for (int dx = 0; dx < factor_x; dx++) {
        const i64 row = (i64(blockIdx.z) * z + pz) * factor_z + dz;
        const i64 voxel = (row * y * factor_y + py * factor_y + dy) * x * factor_x + px * factor_x + dx;
        float values[VECTOR];
        unpack(in[voxel * n_vectors + vector], values);
#pragma unroll
        for (int c = 0; c < VECTOR; c++) most[c] = values[c] > most[c] || isnan(values[c]) ? values[c] : most[c];
      }
  out[blockIdx.z * n + i] = packed(most);
}
