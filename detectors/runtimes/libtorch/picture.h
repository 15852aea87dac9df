// From a picture's bytes to the pixels that a model takes, as detectors/pictures/preprocess.py does it with Pillow.
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

// RGB, 8 bits each, row by row without gaps.
struct Picture {
    Size size;
    std::vector<uint8_t> pixels;
};

struct Decoded {
    Picture picture;  // upright by EXIF; a JPEG far larger than what it is to fit is smaller than it is
    Size whole;       // of the whole picture, as a person sees it
};

class PictureUndecodable : public std::runtime_error {
    using runtime_error::runtime_error;
};

// Decodes a JPEG or PNG of at most `most_pixels` for a model whose input is `fit`. What is transparent is seen on white.
// Throws PictureUndecodable, also where the picture is cut off.
Decoded decode(std::span<const uint8_t> data, Size fit, int64_t most_pixels);

// The size that a picture has as the model sees it, at least 1 × 1.
Size content_size(Size picture, Size input);

// The picture scaled to the content size of the whole one, at the top left of a grey canvas of the size `input`.
Picture letterbox(const Decoded& decoded, Size input);

}  // namespace boxqueue
