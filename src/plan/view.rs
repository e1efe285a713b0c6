//! Layout ops on strided windows: none of them moves an element.

use std::ops::Range;

use super::{Buf, View};

impl View {
    /// A whole buffer, row-major.
    pub fn contiguous(buf: Buf, dims: &[usize]) -> View {
        View { buf, offset: 0, strides: row_major(dims) }
    }

    /// Whether the elements of `dims` lie in row-major order from the offset on.
    pub fn is_row_major(&self, dims: &[usize]) -> bool {
        let expected = row_major(dims);
        dims.contains(&0) || dims.iter().zip(self.strides.iter().zip(&expected)).all(|(&n, (a, b))| n == 1 || a == b)
    }

    /// The elements that are touched, or `None` when one lies before the buffer.
    pub fn extent(&self, dims: &[usize]) -> Option<Range<usize>> {
        if dims.contains(&0) {
            return Some(self.offset..self.offset);
        }
        let (mut low, mut high) = (self.offset as isize, self.offset as isize);
        for (&n, &stride) in dims.iter().zip(&self.strides) {
            let reach = (n as isize - 1) * stride;
            low += reach.min(0);
            high += reach.max(0);
        }
        usize::try_from(low).ok().map(|low| low..high as usize + 1)
    }

    /// Whether both name the same elements of the same buffer.
    pub(super) fn reads_as(&self, other: &View, dims: &[usize]) -> bool {
        let strides = self.strides.iter().zip(&other.strides);
        self.buf == other.buf && self.offset == other.offset && dims.iter().zip(strides).all(|(&n, (a, b))| n == 1 || a == b)
    }

    /// Output dimension `i` is dimension `axes[i]`.
    pub(super) fn permuted(&self, axes: &[usize]) -> View {
        View { strides: axes.iter().map(|&a| self.strides[a]).collect(), ..self.clone() }
    }

    /// Per dimension a start and a step; `dims` are the sizes of the result.
    pub(super) fn sliced(&self, starts: &[usize], steps: &[isize], dims: &[usize]) -> View {
        if dims.contains(&0) {
            return self.clone();
        }
        let offset = self.offset as isize + starts.iter().zip(&self.strides).map(|(&s, stride)| s as isize * stride).sum::<isize>();
        let strides = self.strides.iter().zip(steps).map(|(stride, step)| stride * step).collect();
        View { buf: self.buf, offset: offset as usize, strides }
    }

    /// A tensor of `from` read with NumPy's broadcasting as `to`.
    pub(super) fn broadcast(&self, from: &[usize], to: &[usize]) -> View {
        let pad = to.len() - from.len();
        let stride = |i: usize| if i < pad || from[i - pad] == 1 && to[i] != 1 { 0 } else { self.strides[i - pad] };
        View { strides: (0..to.len()).map(stride).collect(), ..self.clone() }
    }

    /// A tensor of `from` under the dimensions `to` of as many elements, or `None` when no strides give that.
    pub(super) fn reshaped(&self, from: &[usize], to: &[usize]) -> Option<View> {
        if from.contains(&0) || self.is_row_major(from) {
            return Some(View { strides: row_major(to), ..self.clone() });
        }
        // Dimensions of size 1 carry no order; the others are matched in runs of equal element counts.
        let old: Vec<(usize, isize)> = from.iter().copied().zip(self.strides.iter().copied()).filter(|d| d.0 != 1).collect();
        let mut strides = vec![0; to.len()];
        let (mut i, mut j) = (0, 0);
        while i < old.len() {
            let (start_i, start_j) = (i, j);
            let (mut n_old, mut n_new) = (old[i].0, 1);
            i += 1;
            while n_new != n_old {
                if n_new < n_old {
                    n_new *= *to.get(j)?;
                    j += 1;
                } else {
                    n_old *= old.get(i)?.0;
                    i += 1;
                }
            }
            let run = &old[start_i..i];
            if run.windows(2).any(|w| w[0].1 != w[1].1 * w[1].0 as isize) {
                return None;
            }
            let mut stride = run[run.len() - 1].1;
            for k in (start_j..j).rev() {
                strides[k] = stride;
                stride *= to[k] as isize;
            }
        }
        Some(View { strides, ..self.clone() })
    }
}

pub(super) fn row_major(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; dims.len()];
    for i in (0..dims.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * dims[i + 1] as isize;
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SlotId;

    fn view(dims: &[usize]) -> View {
        View::contiguous(Buf::Slot(SlotId(0)), dims)
    }

    #[test]
    fn a_reshape_of_a_window_splits_and_merges_where_strides_allow() {
        let window = View { strides: vec![10, 1], ..view(&[4, 6]) };
        assert_eq!(window.reshaped(&[4, 6], &[2, 2, 3, 2]).map(|v| v.strides), Some(vec![20, 10, 2, 1]));
        assert_eq!(window.reshaped(&[4, 6], &[4, 1, 6]).map(|v| v.strides), Some(vec![10, 6, 1]));
        assert_eq!(window.reshaped(&[4, 6], &[24]), None);
        assert_eq!(view(&[4, 6]).permuted(&[1, 0]).reshaped(&[6, 4], &[3, 2, 4]).map(|v| v.strides), Some(vec![2, 1, 6]));
        assert_eq!(view(&[4, 6]).permuted(&[1, 0]).reshaped(&[6, 4], &[8, 3]), None);
    }

    #[test]
    fn a_reversed_slice_stays_in_its_buffer() {
        let reversed = view(&[9, 11]).sliced(&[1, 10], &[2, -3], &[4, 4]);
        assert_eq!((reversed.offset, reversed.strides.clone()), (21, vec![22, -3]));
        assert_eq!(reversed.extent(&[4, 4]), Some(12..88));
        assert_eq!(View { offset: 2, ..reversed }.extent(&[4, 4]), None);
    }

    #[test]
    fn broadcasting_repeats_with_stride_zero() {
        assert_eq!(view(&[3, 1, 5]).broadcast(&[3, 1, 5], &[2, 3, 4, 5]).strides, vec![0, 5, 0, 1]);
    }
}
