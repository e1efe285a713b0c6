//! Ops that move elements: permute, broadcast, slice, concat, select_row.

use crate::tensor::Shape;

use super::einsum::unravel;
use super::value::Value;

/// Every element of `shape` read from `x` at the coordinates that `source` gives for it.
fn read(x: &Value, shape: &Shape, source: impl Fn(&[usize]) -> Vec<usize>) -> Value {
    let strides = x.shape.strides();
    let data = (0..shape.len())
        .map(|i| {
            let index = source(&unravel(i, shape));
            x.data[index.iter().zip(&strides).map(|(i, s)| i * s).sum::<usize>()]
        })
        .collect();
    Value::new(shape.clone(), x.dtype, data)
}

pub fn permute(x: &Value, axes: &[usize]) -> Value {
    let shape = Shape::new(axes.iter().map(|&a| x.shape[a]).collect::<Vec<_>>());
    read(x, &shape, |index| {
        let mut from = vec![0; axes.len()];
        axes.iter().zip(index).for_each(|(&a, &i)| from[a] = i);
        from
    })
}

pub fn broadcast(x: &Value, shape: &Shape) -> Value {
    let pad = shape.rank() - x.shape.rank();
    read(x, shape, |index| index[pad..].iter().zip(x.shape.dims()).map(|(&i, &dim)| if dim == 1 { 0 } else { i }).collect())
}

pub fn slice(x: &Value, starts: &[usize], steps: &[isize], shape: &Shape) -> Value {
    read(x, shape, |index| {
        index.iter().zip(starts).zip(steps).map(|((&i, &start), &step)| (start as isize + step * i as isize) as usize).collect()
    })
}

pub fn concat(parts: &[&Value], axis: usize, shape: &Shape) -> Value {
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let mut data = Vec::with_capacity(shape.len());
    for o in 0..outer {
        for part in parts {
            let len = part.shape[axis] * inner;
            data.extend(&part.data[o * len..(o + 1) * len]);
        }
    }
    Value::new(shape.clone(), parts[0].dtype, data)
}

/// Row `index` along dimension 0, clamped to the tensor.
pub fn select_row(x: &Value, index: i64) -> Value {
    let shape = Shape::from(&x.shape[1..]);
    let row = index.clamp(0, x.shape[0] as i64 - 1) as usize;
    let len = shape.len();
    Value::new(shape, x.dtype, x.data[row * len..(row + 1) * len].to_vec())
}
