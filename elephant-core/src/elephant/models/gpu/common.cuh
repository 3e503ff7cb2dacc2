// What the kernels share. Images are in bfloat16 with the channels last: (N, Z, Y, X, C).

typedef unsigned short bf16;
typedef unsigned int u32;
typedef long long i64;

constexpr int THREADS = 256;  // of a block
constexpr int VECTOR = 8;     // channels that a thread reads at once, 16 bytes

__device__ __forceinline__ float low(u32 pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }

__device__ __forceinline__ u32 pack(float low, float high) {
  u32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ __forceinline__ void unpack(const uint4& four, float* values) {
  const u32 pairs[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
  for (int i = 0; i < 4; i++) values[2 * i] = low(pairs[i]), values[2 * i + 1] = high(pairs[i]);
}

__device__ __forceinline__ uint4 packed(const float* v) {
  return make_uint4(pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7]));
}

__device__ __forceinline__ float rectified(float value, float slope) { return value < 0 ? value * slope : value; }

// For products of matrices: 16 voxels and 16 channels of an image, times 16 channels and 8 outputs of the weights.

constexpr int CHANNELS = 16;  // that are multiplied at a time
constexpr int ROWS = 4;       // of 16 voxels along X, that a warp computes

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

// Reads weights into shared memory; those of some products of N outputs with 16 channels.
template <int N>
__device__ __forceinline__ void copy_weights(u32 to, const bf16* from, int n_products) {
  for (int i = threadIdx.x; i < n_products * N * 2; i += THREADS) copy16(to + i * 16, from + i * VECTOR, true);
}

// Multiplies the rows of this warp, each of which begins at its own place, by weights.
template <int N>
__device__ __forceinline__ void multiply_rows(float (&sums)[ROWS][N][4], const u32 (&rows)[ROWS], u32 offset,
                                              u32 weights) {
  u32 b[N][2];
#pragma unroll
  for (int t = 0; t < N; t++) read_pair(b[t], weights + (t * 32 + threadIdx.x % 32) * 8);
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    u32 a[4];
    read_matrix(a, rows[r] + offset);
#pragma unroll
    for (int t = 0; t < N; t++) multiply(sums[r][t], a, b[t]);
  }
}

// Writes what a thread has of 8 outputs of a voxel.
__device__ __forceinline__ void write_pair(const float* sums, const float* bias, const bf16* added, bf16* out, i64 at,
                                           float slope) {
  float a = sums[0] + bias[0], b = sums[1] + bias[1];
  if (added != nullptr) {
    const u32 pair = *reinterpret_cast<const u32*>(added + at);
    a += low(pair), b += high(pair);
  }
  *reinterpret_cast<u32*>(out + at) = pack(rectified(a, slope), rectified(b, slope));
}
