// libFuzzer's target: decoding any bytes ends with a picture of the right size, or with PictureError.
#include <cstdlib>

#include "picture.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    constexpr boxqueue::Size input{64, 48};
    constexpr int64_t max_pixels = 1 << 20;
    try {
        const auto letterboxed = boxqueue::letterbox(boxqueue::decode({data, size}, input, max_pixels), input);
        if (letterboxed.pixels.size() != size_t(64) * 48 * 3) std::abort();
    } catch (const boxqueue::PictureError&) {
    }
    return 0;
}
