//! The windows of convolutions and pools.

use crate::call::Call;
use crate::error::{Lowered, Problem, invalid};

/// The largest kernel, stride, dilation or padding along one axis.
const MAX_SIZE: usize = 1 << 20;

/// Windows along each spatial axis.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    pub(super) kernel: Vec<usize>,
    pub(super) stride: Vec<usize>,
    pub(super) dilation: Vec<usize>,
    pub(super) before: Vec<usize>,
    pub(super) after: Vec<usize>,
    /// The number of windows.
    pub(super) count: Vec<usize>,
    /// The padding that the file names behind, which a ceiling may exceed.
    pub(super) declared_after: Vec<usize>,
}

/// One positive number for each axis, 1 by default.
pub(super) fn factors(call: &Call<'_>, name: &str, axes: usize) -> Lowered<Vec<usize>> {
    let factors = call.sizes(name)?.unwrap_or_else(|| vec![1; axes]);
    let is_valid = factors.len() == axes && factors.iter().all(|&factor| (1..=MAX_SIZE).contains(&factor));
    if is_valid {
        Ok(factors)
    } else {
        invalid(format!("attribute `{name}` has not one positive number for each axis"))
    }
}

/// The paddings before and behind each axis, 0 by default.
pub(super) fn pads(call: &Call<'_>, axes: usize) -> Lowered<[Vec<usize>; 2]> {
    let pads = call.sizes("pads")?.unwrap_or_else(|| vec![0; 2 * axes]);
    if pads.len() != 2 * axes || pads.iter().any(|&pad| pad > MAX_SIZE) {
        return invalid("attribute `pads` has not two numbers for each axis");
    }
    let (before, after) = pads.split_at(axes);
    Ok([before.to_vec(), after.to_vec()])
}

impl Windows {
    /// The windows of `kernel` over an input of spatial sizes `input`.
    pub(super) fn new(call: &Call<'_>, kernel: &[usize], input: &[usize]) -> Lowered<Self> {
        let axes = input.len();
        if kernel.len() != axes || kernel.iter().any(|&size| size == 0 || size > MAX_SIZE) {
            return invalid("its kernel has not one positive size for each axis");
        }
        let [before, after] = pads(call, axes)?;
        let mut windows = Self {
            kernel: kernel.to_vec(),
            stride: factors(call, "strides", axes)?,
            dilation: factors(call, "dilations", axes)?,
            before,
            declared_after: after.clone(),
            after,
            count: vec![0; axes],
        };
        let auto = call.string("auto_pad", "NOTSET")?;
        let is_ceil = call.int("ceil_mode", 0)? != 0;
        for (axis, &size) in input.iter().enumerate() {
            windows.set_axis(axis, size, &auto, is_ceil)?;
        }
        Ok(windows)
    }

    /// From the first to the last position of a window.
    pub(super) fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1).saturating_mul(self.dilation[axis]).saturating_add(1)
    }

    fn set_axis(&mut self, axis: usize, size: usize, auto: &str, is_ceil: bool) -> Lowered<()> {
        let (stride, reach) = (self.stride[axis], self.reach(axis));
        match auto {
            "NOTSET" | "" => {}
            "VALID" => (self.before[axis], self.after[axis]) = (0, 0),
            "SAME_UPPER" | "SAME_LOWER" => {
                let total =
                    (size.div_ceil(stride).saturating_sub(1) * stride).saturating_add(reach).saturating_sub(size);
                let small = total / 2;
                (self.before[axis], self.after[axis]) =
                    if auto == "SAME_UPPER" { (small, total - small) } else { (total - small, small) };
            }
            other => return invalid(format!("auto_pad `{other}` is not known")),
        }
        self.declared_after[axis] = self.after[axis];
        let (before, after) = (self.before[axis], self.after[axis]);
        let Some(room) = size.saturating_add(before).saturating_add(after).checked_sub(reach) else {
            return invalid("a window is larger than its input");
        };
        let mut count = if is_ceil { room.div_ceil(stride) } else { room / stride } + 1;
        // A last window that would begin in the padding behind is left out.
        if is_ceil && (count - 1) * stride >= size + before {
            count -= 1;
        }
        self.count[axis] = count;
        let end = ((count.max(1) - 1) * stride).checked_add(reach);
        let end = end.ok_or_else(|| Problem::Invalid("its windows are too large".into()))?;
        // Just as much as the last window needs: what lies behind it is of no effect.
        self.after[axis] = end.saturating_sub(size + before);
        Ok(())
    }

    /// The positions of the input in window `index` along an axis, without padding.
    pub(super) fn positions(&self, axis: usize, index: usize, size: usize) -> Vec<usize> {
        let start = index * self.stride[axis];
        let position = |i: usize| (start + i * self.dilation[axis]).checked_sub(self.before[axis]);
        (0..self.kernel[axis]).filter_map(position).filter(|&position| position < size).collect()
    }
}
