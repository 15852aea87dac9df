// `detect --model FILE --size WxH --labels a,b,c PICTURE…` prints a line of JSON per picture. docs/models.md says how much
// its boxes may differ from the service's.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <numeric>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include "model.h"
#include "picture.h"

using namespace boxqueue;

namespace {

constexpr int64_t max_pixels = 200'000'000;  // the default of BOXQUEUE_MAX_PICTURE_MEGAPIXELS

// As in detectors/postprocess.py.
constexpr double score_tolerance = 1e-3, max_inputs = 4.0, min_side = 0.01;

constexpr std::string_view usage =
    "usage: detect --model FILE --size WxH --labels a,b,c [--min-score 0.3] [--threads N] PICTURE…\n"
    "\n"
    "Finds the objects in JPEG and PNG pictures with a package of `boxqueue models compile`. Its program has to take\n"
    "letterboxed pictures, n × height × width × 3 uint8, and return boxes (x1, y1, x2, y2 in pixels of its input),\n"
    "scores and class ids. Prints a line of JSON per picture. A package is code: use only packages that you trust.\n"
    "\n"
    "Exit code: 0; 1 if a picture has an error instead of detections; 2 if nothing can run.\n";

class WrongUsage : public std::runtime_error {
    using runtime_error::runtime_error;
};

class DetectionFailed : public std::runtime_error {
    using runtime_error::runtime_error;
};

class ScoreOutOfRange : public std::runtime_error {
    using runtime_error::runtime_error;
};

struct Options {
    std::string model;
    Size size{0, 0};
    std::vector<std::string> labels;
    double min_score = 0.3;
    int threads = int(std::max(1u, std::thread::hardware_concurrency()));
    std::vector<std::string> pictures;
};

struct Detection {
    int64_t class_id;
    double score;
    double box[4];  // x1, y1, x2, y2 in pixels of the picture
};

template <typename Number>
Number parse_number(const std::string& text, Number least, Number most) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value >= least && value <= most)) {
        throw WrongUsage("not a number in the allowed range: " + text);
    }
    return value;
}

Options parse(const std::vector<std::string>& arguments) {
    Options options;
    for (size_t n = 0; n < arguments.size(); ++n) {
        const std::string& name = arguments[n];
        if (!name.starts_with("--")) {
            options.pictures.push_back(name);
            continue;
        }
        if (++n == arguments.size()) throw WrongUsage(name + " lacks its value");
        const std::string& value = arguments[n];
        if (name == "--model") {
            options.model = value;
        } else if (name == "--size") {
            const size_t times = value.find('x');
            if (times == std::string::npos) throw WrongUsage("--size is WxH, such as 512x512");
            options.size = {parse_number(value.substr(0, times), 8, 8192), parse_number(value.substr(times + 1), 8, 8192)};
        } else if (name == "--labels") {
            std::istringstream list(value);
            for (std::string label; std::getline(list, label, ',');) options.labels.push_back(label);
        } else if (name == "--min-score") {
            options.min_score = parse_number(value, 0.0, 1.0);
        } else if (name == "--threads") {
            options.threads = parse_number(value, 1, 1024);
        } else {
            throw WrongUsage("there is no option " + name);
        }
    }
    if (options.model.empty() || options.size.width == 0 || options.labels.empty() || options.pictures.empty()) {
        throw WrongUsage("--model, --size, --labels and a picture are needed");
    }
    return options;
}

std::vector<uint8_t> read_file(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    std::vector<uint8_t> data{std::istreambuf_iterator<char>(stream), {}};
    if (!stream) throw PictureUndecodable("it can't be read");
    return data;
}

// Sorted by score, highest first.
std::vector<Detection> detections(const std::vector<at::Tensor>& outputs, const Options& options, Size original) {
    if (outputs.size() < 3) throw DetectionFailed("the model returns fewer than three outputs: boxes, scores and classes");
    const auto boxes = outputs[0].to(at::kDouble).contiguous(), scores = outputs[1].to(at::kDouble).contiguous(),
               classes = outputs[2].to(at::kDouble).contiguous();
    const int64_t k = scores.numel();
    if (boxes.sizes() != at::IntArrayRef{1, k, 4} || scores.dim() != 2 || classes.sizes() != scores.sizes()) {
        throw DetectionFailed("the model returns other shapes than boxes 1 × k × 4, scores 1 × k and classes 1 × k");
    }
    const Size content = content_size(original, options.size);
    const double across = double(original.width) / content.width, down = double(original.height) / content.height;
    const double far_outside = max_inputs * std::max(options.size.width, options.size.height);
    bool any = false, all_far_outside = true;
    std::vector<Detection> found;
    for (int64_t row = 0; row < k; ++row) {
        const double* box = boxes.const_data_ptr<double>() + row * 4;
        const double score = scores.const_data_ptr<double>()[row], id = classes.const_data_ptr<double>()[row];
        // A class below the first one means that there is nothing; rows below the least score are padding.
        if (id < 0) continue;
        if (!std::isfinite(score)) throw DetectionFailed("the model returned scores that are not finite");
        if (score < -score_tolerance || score > 1 + score_tolerance) {
            throw ScoreOutOfRange("the model returned a score that is no probability: " + std::to_string(score));
        }
        if (score < options.min_score) continue;
        if (!std::isfinite(std::accumulate(box, box + 4, id))) {
            throw DetectionFailed("the model returned numbers that are not finite");
        }
        if (id >= double(options.labels.size())) throw DetectionFailed("the model found a class that has no label");
        const double x1 = std::clamp(box[0] * across, 0.0, double(original.width));
        const double x2 = std::clamp(box[2] * across, 0.0, double(original.width));
        const double y1 = std::clamp(box[1] * down, 0.0, double(original.height));
        const double y2 = std::clamp(box[3] * down, 0.0, double(original.height));
        const auto [left, right] = std::minmax({x1, x2});
        const auto [top, bottom] = std::minmax({y1, y2});
        any = true;
        all_far_outside &= std::any_of(box, box + 4, [&](double side) { return std::abs(side) > far_outside; });
        if (right - left < min_side || bottom - top < min_side) continue;  // outside the picture
        found.push_back({int64_t(id), std::clamp(score, 0.0, 1.0), {left, top, right, bottom}});
    }
    // Without this error, an output that holds no boxes would look like "nothing found".
    if (any && found.empty() && all_far_outside) throw DetectionFailed("the model returned only boxes that lie far outside its input");
    std::stable_sort(found.begin(), found.end(), [](auto& one, auto& other) { return one.score > other.score; });
    return found;
}

std::string json_string(std::string_view text) {
    std::string made = "\"";
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') {
            made += {'\\', letter};
        } else if (static_cast<unsigned char>(letter) < 0x20) {
            char code[7];
            std::snprintf(code, sizeof code, "\\u%04x", letter);
            made += code;
        } else {
            made += letter;
        }
    }
    return made + '"';
}

std::string rounded(double value, int places) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", places, value);
    return text;
}

std::string detect(Model& model, const Options& options, const std::string& file) {
    const DecodedPicture decoded = decode(read_file(file), options.size, max_pixels);
    Picture input = letterbox(decoded, options.size);
    const auto batch = at::from_blob(input.pixels.data(), {1, options.size.height, options.size.width, 3}, at::kByte);
    std::string list;
    for (const auto& [id, score, box] : detections(model.run(batch), options, decoded.original)) {
        list += (list.empty() ? "{\"label\": " : ", {\"label\": ") + json_string(options.labels[id]) +
                ", \"class_id\": " + std::to_string(id) + ", \"score\": " + rounded(score, 4) + ", \"box\": [" +
                rounded(box[0], 2) + ", " + rounded(box[1], 2) + ", " + rounded(box[2], 2) + ", " +
                rounded(box[3], 2) + "]}";
    }
    return "\"width\": " + std::to_string(decoded.original.width) + ", \"height\": " +
           std::to_string(decoded.original.height) + ", \"detections\": [" + list + "]";
}

std::string failure(std::string_view code, const char* message) {
    return "\"error\": {\"code\": " + json_string(code) + ", \"message\": " + json_string(message) + "}";
}

}  // namespace

int main(int argc, char** argv) try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
        std::cout << usage;
        return 0;
    }
    const Options options = parse(arguments);
    require_runnable(options.model, at::zeros({2, options.size.height, options.size.width, 3}, at::kByte));
    Model model(options.model, options.threads);
    bool failed = false;
    for (const auto& file : options.pictures) {
        std::string line;
        try {
            line = detect(model, options, file);
        } catch (const PictureError& error) {
            line = failure(error.code, error.what());
        } catch (const ScoreOutOfRange& error) {
            line = failure("score_out_of_range", error.what());
        } catch (const std::exception& error) {
            line = failure("detection_failed", error.what());
        }
        failed |= line.starts_with("\"error\"");
        std::cout << "{\"picture\": " << json_string(file) << ", " << line << "}" << std::endl;
    }
    return failed ? 1 : 0;
} catch (const WrongUsage& error) {
    std::cerr << "detect: " << error.what() << "\n\n" << usage;
    return 2;
} catch (const std::exception& error) {
    std::cerr << "detect: the model can't be loaded: " << error.what() << "\n";
    return 2;
}
