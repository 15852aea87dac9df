// From a picture's bytes to the pixels of a model's input; detectors/pictures does the same with Pillow.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
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
    Picture picture;   // as it is stored; a large JPEG is decoded at a reduced size
    int orientation;   // of EXIF, 1 to 8: how it has to be turned
    Size original;     // the size of the upright original
    double width;      // the part of `picture` that is the picture: a reduced JPEG has up to a pixel more
    double height;
};

// The picture can't be read. `code` is that of the service.
class PictureError : public std::runtime_error {
   public:
    PictureError(const char* code, const std::string& message) : runtime_error(message), code(code) {}
    const char* code;
};

// Damaged, cut off, or of another format.
class PictureUndecodable : public PictureError {
   public:
    explicit PictureUndecodable(const std::string& message) : PictureError("picture_undecodable", message) {}
};

// Decodes a JPEG or PNG of at most `max_pixels` for a model whose input is `fit`. Transparent pixels are put on white.
// Throws PictureError, also if the file is truncated.
DecodedPicture decode(std::span<const uint8_t> data, Size fit, int64_t max_pixels);

// The size of a picture in the model's input, without padding; at least 1 × 1.
Size content_size(Size picture, Size input);

// The picture upright and scaled to its content size, at the top left of a grey canvas of the size `input`.
Picture letterbox(const DecodedPicture& decoded, Size input);

}  // namespace boxqueue
