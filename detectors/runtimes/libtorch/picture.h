// From a picture's bytes to the pixels of a model's input; detectors/pictures does the same with Pillow.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

namespace boxqueue {

struct Size {
    int width;
    int height;
};

// RGB, 8 bits per channel, row by row without gaps.
struct Picture {
    Size size;
    std::vector<uint8_t> pixels;
};

struct DecodedPicture {
    Picture picture;  // turned upright by EXIF; a large JPEG is decoded at a reduced size
    Size original;    // the size of the upright original
};

class PictureUndecodable : public std::runtime_error {
    using runtime_error::runtime_error;
};

// Decodes a JPEG or PNG of at most `max_pixels` for a model whose input is `fit`. Transparent pixels are put on white.
// Throws PictureUndecodable, also if the file is truncated.
DecodedPicture decode(std::span<const uint8_t> data, Size fit, int64_t max_pixels);

// The size of a picture in the model's input, without padding; at least 1 × 1.
Size content_size(Size picture, Size input);

// The picture scaled to its content size, at the top left of a grey canvas of the size `input`.
Picture letterbox(const DecodedPicture& decoded, Size input);

}  // namespace boxqueue
