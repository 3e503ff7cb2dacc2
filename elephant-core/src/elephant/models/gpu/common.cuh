// What the kernels share. Images are in bfloat16 with the channels last: (N, Z, Y, X, C).

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
