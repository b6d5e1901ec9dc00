#![doc = include_str!("../README.md")]
//! # How a file is read
//! An import walks the nodes once, for inputs of fixed shapes. Each value is one of three:
//!
//! * **public integers**: shapes, indices, Booleans, and all that is computed from them; evaluated at once;
//! * **constants**: real numbers of the model owner's, f16, bf16 and f64 converted to f32, int8 of quantised models
//!   read as the real values that they stand for; operators on constants alone are evaluated at once;
//! * **private values**: what depends on an input; each of their operators becomes nodes of a [`Graph`](mpc_nn::Graph).
//!
//! # What is public
//! The graph, with all shapes and integers, is known to every party. Of the constants, those with exactly one element
//! that scale, shift, limit or otherwise parameterise a private value (the 6 of a ReLU6, the √d of an attention, the ε
//! of a normalisation) are part of the graph, too, and so are quantisation scales of activations, the
//! shape of trees, the places and weights of samples (`GridSample`, `RoiAlign`), places of sparse values and labels. All others,
//! such as the thresholds and leaves of trees, are private weights. Of weights beside whole numbers, it is public whether all of a
//! tensor are whole, where something is compared or rounded behind them.
//!
//! # What changes
//! * Batch normalisation is folded into the convolution, transposed convolution or Gemm before it, if nothing else
//!   reads that one's output; elsewhere it is a scale and an offset for each channel.
//! * Entries below −1024 of a constant that is added before a softmax, such as −∞, become −1024: e^−1024 is 0 in
//!   fixed point, so that the result is the same as long as the scores differ by less than 1000. A public factor from 1/16 to 8
//!   may lie between, which counts for this difference. So do entries below −32768 in front of exponentials alone.
//!   A row that a private mask hides whole, alone or with a public one of the same number, is uniform over its largest numbers, as in the
//!   file, if these take the place of the scores or swallow them. It stays the softmax of its scores where two private masks are added,
//!   where the numbers differ, and in a softmax that is written out from a difference to the maximum.
//! * Entries below −32768 in some places, put there or added, become −4096 in front of maxima, largest indices, logarithms of sums,
//!   sigmoids and others that make nothing of them: of each row one value that is seen must be above that. Where a private mask is
//!   added, the values of a row may differ by 4000. A row that a private mask hides whole has another number than in the file;
//!   one of a public mask is refused, but in a softmax, which makes of it what the file does.
//! * `QuantizeLinear` of a private value limits it to what the quantised type can stand for, but does not round it; a
//!   `DequantizeLinear` with the same parameters is the identity. Values keep what quantisation would cost them:
//!   each leads at most half a step away from a quantised run, and later layers carry it on. Constants are rounded as the file says,
//!   and so are an output of integers, and values in front of a softmax in steps of more than 1/2: these to the nearest, upwards if
//!   two are.
//! * Comparisons of private values are those of fixed-point numbers, which rounding has moved by a few units in the last
//!   place; their results are private numbers 0 or 1. An order takes values that were computed and are within 2^−15 for equal.
//! * `Dropout`, casts between floats, and checks for NaN and infinity have no effect, but where a mask of −∞ is: they find it, and behind
//!   a softmax the rows that it hides whole, as private Booleans where the mask is private. Behind what mixes elements they are refused.
//! * Integers that `DynamicQuantizeLinear` makes stand for their real numbers, with a scale of 1; what is computed from them
//!   is that of the real numbers, by weights that are those of 8 bits.
//! * A mask `m·c` with a `c` below −1024 that is added to scores of a softmax is limited to −1024, so that it needs no more range; so is one with
//!   a `c` above 1024 that is subtracted.
//! * `Floor`, `Round`, `Mod` and casts to integers jump where the value's fixed point passes a whole number; `Equal` of real
//!   numbers means a difference of at most 2^−16. Whole numbers are told apart exactly, also where they are products, which are
//!   rounded to next to one; a cast of real numbers to integers takes up to 2^−12 less than one for it. `Floor` takes up to 2^−15 less
//!   than one for it, of a value that was computed. A quotient that is rounded, and a remainder, take a dividend that is up to 2^−14 less
//!   than a multiple of the divisor for it.
//! * A cast to integers of 2 or 4 bits goes around where a value does not fit. Of 8 bits and more, whose overflow ONNX does not
//!   define, private values stay as they are, and so do sums, differences and products of them.
//! * Comparisons with infinities, and with constants of 2^28 and more, are decided by the import: no private value is there, unless a
//!   private mask hides it.
//! * The largest of several values is the first one that is within 2^−14 of the maximum, where something is computed from its
//!   index.
//! * Labels that are text become their place in the list of classes.
//! * Loops and `Scan` are unrolled; an `If` of a private condition computes both branches.
//! * Between `QuantizeLinear` and `DequantizeLinear` integers may be moved, compared, resized, or go through operators that know of
//!   them.
//! * `Power` with a fractional exponent takes its argument to be positive, as ONNX does. With a private exponent, x^y is
//!   e^(y·ln x), within (1 + |y|)·x^y/2^12 + 2^−12; x must not be negative unless the file says that y is whole, x = 0 gives 0 for y
//!   from 0.1 to 100, and |y·ln x| must stay in range.
//! * `GridSample` in mode cubic takes the border in place of each neighbour that is outside, as PyTorch and onnxruntime do. ONNX's
//!   reference moves the place to the border first.
//! * `GridSample` by a private grid weighs every element of the image; its nearest mode takes the later one of two elements that
//!   are equally near.
//! * Normalisations that are written out (x·(mean of x² + ε)^−1/2, also of x without its mean, also by a deviation of one element
//!   less, plus an ε below 2^−16) are computed as the operators are.
//! * Linear `Upsample` and `Resize` of opsets below 11, which cannot say how positions are counted, count them by
//!   half-pixels, as PyTorch means it when it writes such a file.
//! * `Resize` by a scale with aligned corners puts the last corner at the whole length of the result, as PyTorch and onnxruntime do. A
//!   file that names no producer means the exact length, input times scale, as ONNX's reference does.
//!
//! # Security
//! Files are untrusted. Lengths, nesting, shapes and element counts are checked before anything is allocated, data in
//! other files is read from the model's own folder only, and what constants may be computed in all is bounded by the
//! size of the file.

#![forbid(unsafe_code)]

mod arrays;
mod call;
mod context;
mod error;
mod file;
mod functions;
mod import;
mod norm;
mod rules;
mod shapes;
mod tensor;
mod topology;
mod translate;
mod value;
mod wire;

pub use error::{ImportError, OnnxError, Reason};
pub use file::{Dimension, FIRST_OPSET, LAST_OPSET, MAX_FILE, OnnxFile, TensorInfo};
pub use import::import;
pub use shapes::InputShapes;
