#include "picture.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

namespace boxqueue {
namespace {

constexpr int channels = 3;
constexpr uint8_t padding = 114;  // as in detectors/pictures/preprocess.py
constexpr uint8_t white = 255;
constexpr double reduced_margin = 3.0;  // as in detectors/pictures/decode.py
// As in detectors/pictures/headers/jpeg.py and png.py.
constexpr int max_scans = 100;
constexpr int64_t max_scan_pixels = 2'500'000'000, max_pixels_a_byte = 512, max_expansion = 1032;

Picture blank(Size size, uint8_t value) {
    return {size, std::vector<uint8_t>(size_t(size.width) * size.height * channels, value)};
}

Size swapped(Size size) { return {size.height, size.width}; }

void require_max_pixels(int64_t width, int64_t height, int64_t max_pixels) {
    if (width * height > max_pixels) throw PictureError("picture_too_large", "it has too many pixels");
}

// --- EXIF ---------------------------------------------------------------------------------------------------------

// Reads the numbers of a TIFF block, big-endian or little-endian; 0 beyond its end.
struct Tiff {
    std::span<const uint8_t> block;

    bool has(size_t at, size_t bytes) const { return at <= block.size() && block.size() - at >= bytes; }

    template <typename Number>
    Number number(size_t at) const {
        uint64_t bits = 0;
        if (!has(at, sizeof(Number))) return Number{};
        for (size_t n = 0; n < sizeof(Number); ++n) {
            bits = bits << 8 | block[block[0] == 'M' ? at + n : at + sizeof(Number) - 1 - n];
        }
        if constexpr (sizeof(Number) == 8) return std::bit_cast<Number>(bits);
        else if constexpr (sizeof(Number) == 4) return std::bit_cast<Number>(uint32_t(bits));
        else if constexpr (sizeof(Number) == 2) return std::bit_cast<Number>(uint16_t(bits));
        else return std::bit_cast<Number>(uint8_t(bits));
    }
};

// Bytes of one value of a TIFF type, 1 to 13 (TIFF 6.0, section 2); 0 for others.
size_t bytes_of(uint16_t type) {
    constexpr size_t bytes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4};
    return type < std::size(bytes) ? bytes[type] : 0;
}

// The first value of an entry at `at`, in whatever type it was written; NaN if there is none.
double first_value(const Tiff& tiff, size_t at) {
    const auto type = tiff.number<uint16_t>(at + 2);
    const size_t count = tiff.number<uint32_t>(at + 4), bytes = bytes_of(type);
    if (bytes == 0 || count == 0) return NAN;
    const size_t value = count > 4 / bytes ? tiff.number<uint32_t>(at + 8) : at + 8;
    if (type == 2) {  // text
        std::string text;
        for (size_t n = 0; n < std::min<size_t>(count, 8); ++n) {
            if (!tiff.has(value + n, 1)) return NAN;
            text += char(tiff.block[value + n]);
        }
        text.resize(std::strlen(text.c_str()));
        const auto first = text.find_first_not_of(" \t\r\n\v\f"), last = text.find_last_not_of(" \t\r\n\v\f");
        if (first == std::string::npos) return NAN;
        text = text.substr(first, last - first + 1);
        if (text.find_first_not_of("0123456789") != std::string::npos) return NAN;
        return std::strtod(text.c_str(), nullptr);
    }
    if (!tiff.has(value, bytes)) return NAN;
    switch (type) {
        case 1: case 7: return tiff.number<uint8_t>(value);
        case 3: return tiff.number<uint16_t>(value);
        case 4: case 13: return tiff.number<uint32_t>(value);
        case 5: return double(tiff.number<uint32_t>(value)) / tiff.number<uint32_t>(value + 4);
        case 6: return tiff.number<int8_t>(value);
        case 8: return tiff.number<int16_t>(value);
        case 9: return tiff.number<int32_t>(value);
        case 10: return double(tiff.number<int32_t>(value)) / tiff.number<int32_t>(value + 4);
        case 11: return tiff.number<float>(value);
        default: return tiff.number<double>(value);
    }
}

constexpr std::string_view exif_name("Exif\0\0", 6);

bool begins_exif(std::span<const uint8_t> data) {
    return data.size() >= exif_name.size() && std::memcmp(data.data(), exif_name.data(), exif_name.size()) == 0;
}

// The orientation in an EXIF block, 1 to 8, as detectors/pictures/exif.py reads it; 1 if there is none. The block may
// begin with its name: in a JPEG it always does, and some programs write it into a PNG as well.
int orientation(std::span<const uint8_t> block) {
    if (begins_exif(block)) block = block.subspan(exif_name.size());
    constexpr size_t entry_bytes = 12, max_entries = 1024;
    constexpr uint16_t tag_orientation = 0x0112;
    const Tiff tiff{block};
    if (block.size() < 8 || block[0] != block[1] || (block[0] != 'I' && block[0] != 'M')) return 1;
    if (tiff.number<uint16_t>(2) != 42) return 1;
    const size_t directory = tiff.number<uint32_t>(4);
    const size_t entries = std::min<size_t>(tiff.number<uint16_t>(directory), max_entries);
    int found = 1;
    for (size_t at = directory + 2, n = 0; n < entries && tiff.has(at, entry_bytes); ++n, at += entry_bytes) {
        if (tiff.number<uint16_t>(at) != tag_orientation) continue;
        const double value = first_value(tiff, at);
        if (value >= 1 && value <= 8 && value == std::floor(value)) found = int(value);
    }
    return found;
}

// Of the first EXIF segment.
int orientation(const jpeg_decompress_struct& info) {
    for (auto* marker = info.marker_list; marker; marker = marker->next) {
        const std::span data(marker->data, marker->data_length);
        if (begins_exif(data)) return orientation(data);
    }
    return 1;
}

// --- JPEG ---------------------------------------------------------------------------------------------------------

// libjpeg reports an error by longjmp, which skips destructors: functions that call it hold nothing that has one.
struct Jpeg {
    jpeg_decompress_struct info{};
    jpeg_error_mgr errors{};
    jpeg_progress_mgr progress{};
    std::jmp_buf given_up;
    char message[JMSG_LENGTH_MAX] = "";
    bool too_costly = false;

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

    [[noreturn]] void fail() const {
        if (too_costly) throw PictureError("picture_too_costly", "it has too many scans");
        throw PictureUndecodable(message);
    }

    // Each scan costs time for every pixel, however few bytes it has.
    void limit_scans() {
        progress.progress_monitor = [](j_common_ptr common) {
            const auto& info = *reinterpret_cast<j_decompress_ptr>(common);
            auto* jpeg = static_cast<Jpeg*>(common->client_data);
            const int64_t scans = info.input_scan_number, pixels = int64_t(info.image_width) * info.image_height;
            if (scans <= max_scans && scans * pixels <= max_scan_pixels) return;
            jpeg->too_costly = true;
            std::longjmp(jpeg->given_up, 1);
        };
        info.progress = &progress;
    }

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
    if (!read_header(jpeg, data)) jpeg.fail();
    auto& info = jpeg.info;
    const Size stored{int(info.image_width), int(info.image_height)};
    const int64_t pixels = int64_t(stored.width) * stored.height;
    require_max_pixels(stored.width, stored.height, max_pixels);
    if (pixels > max_pixels_a_byte * int64_t(data.size())) throw PictureUndecodable("it is cut off");
    const int turn = orientation(info);
    const Size original = turn >= 5 ? swapped(stored) : stored;
    // The largest reduction (8, 4 or 2) that leaves the picture `reduced_margin` times as large as the model needs.
    const Size target = content_size(original, fit);
    const double reduction =
        std::min(double(original.width) / target.width, double(original.height) / target.height) / reduced_margin;
    info.scale_denom = reduction >= 8 ? 8 : reduction >= 4 ? 4 : reduction >= 2 ? 2 : 1;
    const bool cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
    info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg.limit_scans();
    if (!start(jpeg)) jpeg.fail();
    const Size size{int(info.output_width), int(info.output_height)};
    const size_t bytes_a_row = size_t(size.width) * info.output_components;
    std::vector<uint8_t> rows(bytes_a_row * size.height);
    if (!read_rows(jpeg, rows.data(), bytes_a_row)) jpeg.fail();
    Picture picture = cmyk ? from_cmyk(size, rows) : Picture{size, std::move(rows)};
    // libjpeg fills up the last block: 4,201 pixels become 526 at an eighth, but they show 525.125.
    const double scale = info.scale_denom;
    return {std::move(picture), turn, original, stored.width / scale, stored.height / scale};
}

// --- PNG ----------------------------------------------------------------------------------------------------------

uint32_t big_endian(std::span<const uint8_t> data, size_t at) {
    return uint32_t(data[at]) << 24 | uint32_t(data[at + 1]) << 16 | uint32_t(data[at + 2]) << 8 | data[at + 3];
}

// A PNG reduced to the chunks that make its pixels, so that text, profiles and damaged chunks beside them do not matter.
struct EssentialPng {
    std::vector<uint8_t> data;
    int orientation = 1;
    int64_t packed_bytes = 0;  // of the pixels
};

// Whether a tRNS chunk has the size that it must have for this colour type.
bool fits_transparency(uint8_t colour_type, uint32_t size) {
    return colour_type == 0 ? size == 2 : colour_type == 2 ? size == 6 : colour_type == 3 && size >= 1 && size <= 256;
}

EssentialPng essential(std::span<const uint8_t> file) {
    constexpr size_t signature_bytes = 8, header_bytes = 33;
    constexpr uint8_t end[] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
    if (file.size() < header_bytes) throw PictureUndecodable("it is cut off");
    const uint8_t bits = file[24], colour_type = file[25];
    EssentialPng made{{file.begin(), file.begin() + signature_bytes}};
    bool has_exif = false;
    for (size_t at = signature_bytes; at + 8 <= file.size();) {
        const uint32_t size = big_endian(file, at);
        const std::string_view kind(reinterpret_cast<const char*>(&file[at + 4]), 4);
        const size_t start = at + 8, have = std::min<size_t>(size, file.size() - start);
        const size_t next = std::min<size_t>(start + size_t(size) + 4, file.size());
        if (kind == "IEND") break;
        if (kind == "eXIf" && !has_exif) {
            has_exif = true;
            made.orientation = orientation(file.subspan(start, have));
        }
        const bool transparency = kind == "tRNS" && made.packed_bytes == 0 && fits_transparency(colour_type, size);
        if (transparency && colour_type == 2 && bits == 16) {
            throw PictureError("picture_unsupported", "it has 16 bits a sample and one transparent colour");
        }
        if (kind == "IDAT") made.packed_bytes += int64_t(have);
        if (transparency || kind == "IHDR" || kind == "PLTE" || kind == "IDAT") {
            made.data.insert(made.data.end(), file.begin() + at, file.begin() + next);
        }
        at = next;
    }
    made.data.insert(made.data.end(), std::begin(end), std::end(end));
    return made;
}

DecodedPicture decode_png(std::span<const uint8_t> file, int64_t max_pixels) {
    const EssentialPng png = essential(file);
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    struct Freed {
        png_image& image;
        ~Freed() { png_image_free(&image); }
    } freed{image};
    if (!png_image_begin_read_from_memory(&image, png.data.data(), png.data.size())) {
        throw PictureUndecodable(image.message);
    }
    require_max_pixels(image.width, image.height, max_pixels);
    // One bit a pixel is the least that a PNG has.
    if (int64_t(image.width) * image.height / 8 > png.packed_bytes * max_expansion) {
        throw PictureUndecodable("it is cut off");
    }
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
    const Size original = png.orientation >= 5 ? swapped(size) : size;
    return {std::move(picture), png.orientation, original, double(size.width), double(size.height)};
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
//
// `part`: how much of the row, from its begin, becomes the scaled one.
std::vector<Kernel> kernels(int from, double part, int to) {
    const double scale = part / to, reach = std::max(scale, 1.0), narrowing = 1 / reach;
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

Picture resized(const Picture& picture, double width, double height, Size target) {
    const auto across = kernels(picture.size.width, width, target.width);
    const auto down = kernels(picture.size.height, height, target.height);
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
    const std::string_view kind(reinterpret_cast<const char*>(data.data()), std::min<size_t>(data.size(), 12));
    if (kind.size() == 12 && kind.substr(4, 4) == "ftyp") {
        throw PictureError("picture_unknown_format", "HEIC and AVIF are not read by this program, but by the service");
    }
    throw PictureError("picture_unknown_format", "it is neither JPEG nor PNG");
}

Size content_size(Size picture, Size input) {
    const double scale = std::min(double(input.width) / picture.width, double(input.height) / picture.height);
    // nearbyint rounds halves to the even number, as Python does.
    const auto scaled = [&](int side) { return std::max(1, int(std::nearbyint(side * scale))); };
    return {scaled(picture.width), scaled(picture.height)};
}

Picture letterbox(const DecodedPicture& decoded, Size input) {
    const Size target = content_size(decoded.original, input);
    const Size stored = decoded.orientation >= 5 ? swapped(target) : target;
    const Picture content =
        upright(resized(decoded.picture, decoded.width, decoded.height, stored), decoded.orientation);
    Picture canvas = blank(input, padding);
    const size_t bytes_a_row = size_t(content.size.width) * channels;
    for (int y = 0; y < content.size.height; ++y) {
        std::copy_n(&content.pixels[y * bytes_a_row], bytes_a_row,
                    &canvas.pixels[size_t(y) * input.width * channels]);
    }
    return canvas;
}

}  // namespace boxqueue
