#include "picture.h"

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

namespace boxqueue {
namespace {

constexpr int channels = 3;
constexpr uint8_t padding = 114;  // as in detectors/pictures/preprocess.py
constexpr uint8_t white = 255;

Picture blank(Size size, uint8_t value) {
    return {size, std::vector<uint8_t>(size_t(size.width) * size.height * channels, value)};
}

Size swapped(Size size) { return {size.height, size.width}; }

void require_max_pixels(int64_t width, int64_t height, int64_t max_pixels) {
    if (width * height > max_pixels) throw PictureUndecodable("it has too many pixels");
}

// --- JPEG ---------------------------------------------------------------------------------------------------------

// libjpeg reports an error by longjmp, which skips destructors: functions that call it hold nothing that has one.
struct Jpeg {
    jpeg_decompress_struct info{};
    jpeg_error_mgr errors{};
    std::jmp_buf given_up;
    char message[JMSG_LENGTH_MAX] = "";

    Jpeg() {
        info.err = jpeg_std_error(&errors);
        info.client_data = this;
        errors.error_exit = [](j_common_ptr common) {
            auto* jpeg = static_cast<Jpeg*>(common->client_data);
            common->err->format_message(common, jpeg->message);
            std::longjmp(jpeg->given_up, 1);
        };
        errors.emit_message = [](j_common_ptr common, int) {
            // This warning means that pixels are missing, which libjpeg would fill with grey.
            if (common->err->msg_code == JWRN_JPEG_EOF) common->err->error_exit(common);
        };
    }
    Jpeg(const Jpeg&) = delete;
    ~Jpeg() { jpeg_destroy_decompress(&info); }
};

bool read_header(Jpeg& jpeg, std::span<const uint8_t> data) {
    if (setjmp(jpeg.given_up)) return false;
    jpeg_create_decompress(&jpeg.info);
    jpeg_save_markers(&jpeg.info, JPEG_APP0 + 1, 0xffff);
    jpeg_mem_src(&jpeg.info, data.data(), data.size());
    jpeg_read_header(&jpeg.info, TRUE);
    return true;
}

bool start(Jpeg& jpeg) {
    if (setjmp(jpeg.given_up)) return false;
    jpeg_start_decompress(&jpeg.info);
    return true;
}

bool read_rows(Jpeg& jpeg, uint8_t* rows, size_t bytes_a_row) {
    if (setjmp(jpeg.given_up)) return false;
    while (jpeg.info.output_scanline < jpeg.info.output_height) {
        JSAMPROW row = rows + jpeg.info.output_scanline * bytes_a_row;
        jpeg_read_scanlines(&jpeg.info, &row, 1);
    }
    return true;
}

// Reads the numbers of a TIFF block, big-endian (`M`) or little-endian (`I`); 0 beyond its end.
struct Tiff {
    std::span<const uint8_t> block;

    uint32_t number(size_t at, int bytes) const {
        if (at > block.size() || block.size() - at < size_t(bytes)) return 0;
        uint32_t value = 0;
        for (int n = 0; n < bytes; ++n) value = value << 8 | block[block[0] == 'M' ? at + n : at + bytes - 1 - n];
        return value;
    }
};

// EXIF orientation, 1 to 8. Layout: TIFF 6.0, section 2; tag: Exif 2.32, 4.6.4.
int orientation(const jpeg_decompress_struct& info) {
    constexpr std::string_view name("Exif\0\0", 6);
    constexpr int entry_bytes = 12, tag_orientation = 0x0112;
    for (auto* marker = info.marker_list; marker; marker = marker->next) {
        const std::span data(marker->data, marker->data_length);
        if (data.size() <= name.size() || std::memcmp(data.data(), name.data(), name.size()) != 0) continue;
        const Tiff tiff{data.subspan(name.size())};
        const size_t directory = tiff.number(4, 4);
        for (uint32_t n = 0; n < tiff.number(directory, 2); ++n) {
            const size_t entry = directory + 2 + size_t(n) * entry_bytes;
            if (tiff.number(entry, 2) != tag_orientation) continue;
            const int value = int(tiff.number(entry + 8, 2));
            return value >= 1 && value <= 8 ? value : 1;
        }
    }
    return 1;
}

Picture upright(Picture stored, int orientation) {
    if (orientation == 1) return stored;
    const auto [width, height] = stored.size;
    const bool quarter = orientation >= 5;
    const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    Picture made = blank(quarter ? swapped(stored.size) : stored.size, 0);
    uint8_t* to = made.pixels.data();
    for (int y = 0; y < made.size.height; ++y) {
        for (int x = 0; x < made.size.width; ++x, to += channels) {
            const int u = quarter ? y : x, v = quarter ? x : y;
            const size_t from = size_t(flip_y ? height - 1 - v : v) * width + (flip_x ? width - 1 - u : u);
            std::copy_n(&stored.pixels[from * channels], channels, to);
        }
    }
    return made;
}

// CMYK, inverted as Adobe stores it -> RGB, as Pillow converts it.
Picture from_cmyk(Size size, const std::vector<uint8_t>& inks) {
    Picture made = blank(size, 0);
    for (size_t pixel = 0; pixel < inks.size() / 4; ++pixel) {
        const int black = inks[pixel * 4 + 3];
        for (int channel = 0; channel < channels; ++channel) {
            const int product = (255 - inks[pixel * 4 + channel]) * black + 128;
            made.pixels[pixel * channels + channel] = uint8_t(black - (((product >> 8) + product) >> 8));
        }
    }
    return made;
}

DecodedPicture decode_jpeg(std::span<const uint8_t> data, Size fit, int64_t max_pixels) {
    Jpeg jpeg;
    if (!read_header(jpeg, data)) throw PictureUndecodable(jpeg.message);
    auto& info = jpeg.info;
    const Size stored{int(info.image_width), int(info.image_height)};
    require_max_pixels(stored.width, stored.height, max_pixels);
    const int turn = orientation(info);
    const Size original = turn >= 5 ? swapped(stored) : stored;
    // The largest reduction (8, 4 or 2) that leaves the picture at least as large as the model needs.
    const Size target = content_size(original, fit);
    const int reduction = std::min(original.width / target.width, original.height / target.height);
    info.scale_denom = reduction >= 8 ? 8 : reduction >= 4 ? 4 : reduction >= 2 ? 2 : 1;
    const bool cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
    info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    if (!start(jpeg)) throw PictureUndecodable(jpeg.message);
    const Size size{int(info.output_width), int(info.output_height)};
    const size_t bytes_a_row = size_t(size.width) * info.output_components;
    std::vector<uint8_t> rows(bytes_a_row * size.height);
    if (!read_rows(jpeg, rows.data(), bytes_a_row)) throw PictureUndecodable(jpeg.message);
    Picture picture = cmyk ? from_cmyk(size, rows) : Picture{size, std::move(rows)};
    return {upright(std::move(picture), turn), original};
}

// --- PNG ----------------------------------------------------------------------------------------------------------

DecodedPicture decode_png(std::span<const uint8_t> data, int64_t max_pixels) {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    struct Freed {
        png_image& image;
        ~Freed() { png_image_free(&image); }
    } freed{image};
    if (!png_image_begin_read_from_memory(&image, data.data(), data.size())) throw PictureUndecodable(image.message);
    require_max_pixels(image.width, image.height, max_pixels);
    // The background is mixed below and not by libpng, which mixes in linear light; Pillow mixes the values as they are.
    image.format = PNG_FORMAT_RGBA;
    image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    std::vector<uint8_t> rows(PNG_IMAGE_SIZE(image));
    if (!png_image_finish_read(&image, nullptr, rows.data(), 0, nullptr)) throw PictureUndecodable(image.message);
    const Size size{int(image.width), int(image.height)};
    Picture picture = blank(size, white);
    for (size_t pixel = 0; pixel < rows.size() / 4; ++pixel) {
        const int alpha = rows[pixel * 4 + 3];
        for (int channel = 0; channel < channels; ++channel) {
            const int mixed = rows[pixel * 4 + channel] * alpha + white * (255 - alpha);
            picture.pixels[pixel * channels + channel] = uint8_t((mixed + 127) / 255);
        }
    }
    return {std::move(picture), size};
}

// --- scaling ------------------------------------------------------------------------------------------------------

constexpr int fraction_bits = 22;

// The pixels of a row, from `first` on, that make one pixel of the scaled row, and their weights, which add up to
// 1 << fraction_bits.
struct Kernel {
    int first;
    std::vector<int> weights;
};

// Triangles that are two pixels of the smaller row wide, so that scaling down leaves no pixel out. This is Pillow's
// bilinear filter (its Resample.c) in the same fixed point: results differ by at most 1.
std::vector<Kernel> kernels(int from, int to) {
    const double scale = double(from) / to, reach = std::max(scale, 1.0), narrowing = 1 / reach;
    std::vector<Kernel> made;
    for (int n = 0; n < to; ++n) {
        const double centre = (n + 0.5) * scale;
        const int first = std::max(0, int(centre - reach + 0.5)), last = std::min(from, int(centre + reach + 0.5));
        std::vector<double> heights;
        double sum = 0;
        for (int at = first; at < last; ++at) {
            heights.push_back(std::max(0.0, 1 - std::abs((at - centre + 0.5) * narrowing)));
            sum += heights.back();
        }
        Kernel kernel{first, {}};
        for (const double height : heights) kernel.weights.push_back(int(0.5 + height / sum * (1 << fraction_bits)));
        made.push_back(std::move(kernel));
    }
    return made;
}

// `step`: distance in memory of the pixels that are mixed.
void mix(const Kernel& kernel, const uint8_t* first, size_t step, uint8_t* to) {
    for (int channel = 0; channel < channels; ++channel) {
        int64_t sum = int64_t(1) << (fraction_bits - 1);
        const uint8_t* from = first + channel;
        for (const int weight : kernel.weights) {
            sum += int64_t(*from) * weight;
            from += step;
        }
        to[channel] = uint8_t(std::min<int64_t>(sum >> fraction_bits, 255));
    }
}

Picture resized(const Picture& picture, Size target) {
    const auto across = kernels(picture.size.width, target.width), down = kernels(picture.size.height, target.height);
    Picture narrow = blank({target.width, picture.size.height}, 0), made = blank(target, 0);
    uint8_t* to = narrow.pixels.data();
    for (int y = 0; y < narrow.size.height; ++y) {
        const uint8_t* row = &picture.pixels[size_t(y) * picture.size.width * channels];
        for (int x = 0; x < target.width; ++x, to += channels) {
            mix(across[x], row + size_t(across[x].first) * channels, channels, to);
        }
    }
    to = made.pixels.data();
    const size_t bytes_a_row = size_t(target.width) * channels;
    for (int y = 0; y < target.height; ++y) {
        const uint8_t* row = &narrow.pixels[down[y].first * bytes_a_row];
        for (int x = 0; x < target.width; ++x, to += channels) mix(down[y], row + x * channels, bytes_a_row, to);
    }
    return made;
}

}  // namespace

DecodedPicture decode(std::span<const uint8_t> data, Size fit, int64_t max_pixels) {
    constexpr uint8_t jpeg[] = {0xff, 0xd8, 0xff}, png[] = {0x89, 'P', 'N', 'G'};
    const auto begins = [&](std::span<const uint8_t> magic) {
        return data.size() >= magic.size() && std::equal(magic.begin(), magic.end(), data.begin());
    };
    if (begins(jpeg)) return decode_jpeg(data, fit, max_pixels);
    if (begins(png)) return decode_png(data, max_pixels);
    throw PictureUndecodable("it is neither JPEG nor PNG");
}

Size content_size(Size picture, Size input) {
    const double scale = std::min(double(input.width) / picture.width, double(input.height) / picture.height);
    // nearbyint rounds halves to the even number, as Python does.
    const auto scaled = [&](int side) { return std::max(1, int(std::nearbyint(side * scale))); };
    return {scaled(picture.width), scaled(picture.height)};
}

Picture letterbox(const DecodedPicture& decoded, Size input) {
    const Picture content = resized(decoded.picture, content_size(decoded.original, input));
    Picture canvas = blank(input, padding);
    const size_t bytes_a_row = size_t(content.size.width) * channels;
    for (int y = 0; y < content.size.height; ++y) {
        std::copy_n(&content.pixels[y * bytes_a_row], bytes_a_row,
                    &canvas.pixels[size_t(y) * input.width * channels]);
    }
    return canvas;
}

}  // namespace boxqueue
