//! The roofline of Williams, Waterman and Patterson (CACM 52, 2009): each kernel by its operations a byte and its operations a second,
//! under the ceilings that this adapter's bandwidth and arithmetic set.

use super::super::markdown::{bytes, flops, time};
use super::super::report::{KernelTime, Report};
use super::axis::{Axis, short, short_si};
use super::svg::{Anchor, COLOURS, GREY, GRID, INK, Svg, shortened};

const WIDTH: f64 = 1080.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 124.0;
const RIGHT: f64 = 640.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 490.0;
/// Kernels with a number and a line in the list beside the plot: those that take the most time.
const MAX_LISTED: usize = 12;

/// The kernels of a report under its ceilings; the area of a point is its share of the time. `None` where no kernel has both a time and
/// operations, or the bandwidth was not measured.
pub fn roofline(report: &Report) -> Option<String> {
    let bandwidth = report.bandwidth_bytes_per_second.filter(|&b| b > 0.0)?;
    let mut kernels: Vec<&KernelTime> =
        report.kernels.iter().filter(|k| k.flops > 0.0 && k.bytes > 0.0 && k.seconds.median > 0.0).collect();
    if kernels.is_empty() {
        return None;
    }
    kernels.sort_by(|a, b| b.seconds.median.total_cmp(&a.seconds.median));
    let of = |f: fn(&KernelTime) -> f64| kernels.iter().map(|k| f(k)).fold((f64::INFINITY, 0.0f64), |(a, b), v| (a.min(v), b.max(v)));
    let (intensity_low, intensity_high) = of(KernelTime::intensity);
    let (flops_low, flops_high) = of(KernelTime::flops_per_second);
    let peak = report.peak_flops_per_second.filter(|&p| p > 0.0);
    // The knee is in the picture where it is known.
    let x_high = intensity_high.max(peak.map_or(0.0, |p| 2.0 * p / bandwidth));
    let y_high = peak.unwrap_or(0.0).max(flops_high).max(bandwidth * intensity_high);
    let x = Axis::log(intensity_low, x_high, LEFT, RIGHT);
    let y = Axis::log(flops_low, y_high, BOTTOM, TOP);

    let mut svg = Svg::new(WIDTH, HEIGHT);
    svg.text((LEFT, 28.0), 18.0, Anchor::Start, INK, &format!("Roofline: {}", report.model));
    svg.text((LEFT, 48.0), 13.0, Anchor::Start, GREY, &report.backend);
    grid(&mut svg, x, y);
    ceilings(&mut svg, x, y, bandwidth, peak);
    points(&mut svg, x, y, &kernels);
    legend(&mut svg, &kernels, bandwidth, report.kernels_timed_by.as_deref());
    Some(svg.finish())
}

fn grid(svg: &mut Svg, x: Axis, y: Axis) {
    for tick in x.ticks() {
        svg.line((x.at(tick), TOP), (x.at(tick), BOTTOM), GRID, 1.0, false);
        svg.text((x.at(tick), BOTTOM + 20.0), 13.0, Anchor::Middle, INK, &short(tick));
    }
    for tick in y.ticks() {
        svg.line((LEFT, y.at(tick)), (RIGHT, y.at(tick)), GRID, 1.0, false);
        svg.text((LEFT - 8.0, y.at(tick) + 4.5), 13.0, Anchor::End, INK, &format!("{}FLOP/s", short_si(tick)));
    }
    svg.rect((LEFT, TOP), (RIGHT - LEFT, BOTTOM - TOP), INK);
    svg.text(((LEFT + RIGHT) / 2.0, BOTTOM + 48.0), 14.0, Anchor::Middle, INK, "operations a byte");
    svg.turned_text((22.0, (TOP + BOTTOM) / 2.0), -90.0, 14.0, Anchor::Middle, INK, "operations a second");
}

fn ceilings(svg: &mut Svg, x: Axis, y: Axis, bandwidth: f64, peak: Option<f64>) {
    // The slope is drawn where it is inside the picture: from the left or lower edge to the flat ceiling or the upper edge.
    let top = peak.unwrap_or(y.high()).min(y.high());
    let (from, to) = (x.low().max(y.low() / bandwidth), x.high().min(top / bandwidth));
    if from < to {
        let (a, b) = ((x.at(from), y.at(bandwidth * from)), (x.at(to), y.at(bandwidth * to)));
        svg.line(a, b, INK, 2.0, false);
        // Eight pixels off the line, however steep it is.
        let angle = ((b.1 - a.1) / (b.0 - a.0)).atan();
        let middle = (a.0 + 0.45 * (b.0 - a.0) + 8.0 * angle.sin(), a.1 + 0.45 * (b.1 - a.1) - 8.0 * angle.cos());
        svg.turned_text(middle, angle.to_degrees(), 13.0, Anchor::Middle, INK, &format!("{}/s measured", bytes(bandwidth)));
    }
    if let Some(peak) = peak {
        let knee = (peak / bandwidth).clamp(x.low(), x.high());
        svg.line((x.at(knee), y.at(peak)), (RIGHT, y.at(peak)), INK, 2.0, false);
        svg.text((RIGHT - 6.0, y.at(peak) - 8.0), 13.0, Anchor::End, INK, &format!("{} measured", flops(peak)));
    }
}

fn points(svg: &mut Svg, x: Axis, y: Axis, kernels: &[&KernelTime]) {
    let total: f64 = kernels.iter().map(|k| k.seconds.median).sum();
    let place = |k: &KernelTime| (x.at(k.intensity()), y.at(k.flops_per_second()));
    let radius = |k: &KernelTime| 4.0 + 16.0 * (k.seconds.median / total).sqrt();
    // The largest first, so that none hides another.
    for (i, kernel) in kernels.iter().enumerate() {
        svg.circle(place(kernel), radius(kernel), COLOURS[i % COLOURS.len()]);
    }
    // Numbers stand beside their points, those that would meet below one another.
    let mut labels: Vec<(f64, f64, usize)> = kernels
        .iter()
        .enumerate()
        .take(MAX_LISTED)
        .map(|(i, k)| {
            let (px, py) = place(k);
            (px + radius(k) + 4.0, py + 4.0, i)
        })
        .collect();
    labels.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut placed: Vec<(f64, f64)> = Vec::new();
    for (mut lx, mut ly, i) in labels {
        // Right of every point that it would stand on.
        let covers = |lx: f64, k: &&&KernelTime| {
            let ((px, py), r) = (place(k), radius(k));
            (py - (ly - 4.0)).abs() < r + 4.0 && lx < px + r + 2.0 && lx + 14.0 > px - r
        };
        while let Some(k) = kernels.iter().find(|k| covers(lx, k)) {
            lx = place(k).0 + radius(k) + 4.0;
        }
        while placed.iter().any(|&(px, py)| (px - lx).abs() < 18.0 && (py - ly).abs() < 12.0) {
            ly += 3.0;
        }
        placed.push((lx, ly));
        svg.text((lx, ly), 12.0, Anchor::Start, INK, &(i + 1).to_string());
    }
}

fn legend(svg: &mut Svg, kernels: &[&KernelTime], bandwidth: f64, timed_by: Option<&str>) {
    let total: f64 = kernels.iter().map(|k| k.seconds.median).sum();
    let x = RIGHT + 28.0;
    svg.text((x, TOP + 4.0), 13.0, Anchor::Start, GREY, "by time; area is the share of it");
    for (i, kernel) in kernels.iter().take(MAX_LISTED).enumerate() {
        let y = TOP + 28.0 + 32.0 * i as f64;
        svg.circle((x + 7.0, y - 2.0), 9.0, COLOURS[i % COLOURS.len()]);
        svg.text((x + 7.0, y + 2.0), 11.0, Anchor::Middle, "white", &(i + 1).to_string());
        svg.text((x + 24.0, y - 3.0), 13.0, Anchor::Start, INK, &shortened(&format!("{} ×{}", kernel.name, kernel.calls), 52));
        let share = 100.0 * kernel.seconds.median / total;
        let of_bandwidth = 100.0 * kernel.bytes_per_second() / bandwidth;
        let line = format!(
            "{} ({share:.0} %), {}/s ({of_bandwidth:.0} % of the measured)",
            time(kernel.seconds.median),
            bytes(kernel.bytes_per_second())
        );
        svg.text((x + 24.0, y + 11.0), 11.5, Anchor::Start, GREY, &line);
    }
    if kernels.len() > MAX_LISTED {
        let y = TOP + 28.0 + 32.0 * MAX_LISTED as f64;
        svg.text((x + 24.0, y), 12.0, Anchor::Start, GREY, &format!("and {} more", kernels.len() - MAX_LISTED));
    }
    if let Some(by) = timed_by {
        svg.text((x, BOTTOM + 48.0), 12.0, Anchor::Start, GREY, &format!("timed by {by}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::report::tests::sample;
    use super::*;

    #[test]
    fn every_kernel_is_drawn_and_listed() {
        let report = sample();
        let svg = roofline(&report).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2 * report.kernels.len(), "in the plot and in the list");
        for kernel in &report.kernels {
            assert!(svg.contains(&kernel.name), "{}", kernel.name);
        }
        assert!(svg.contains("3.95 TB/s measured") && svg.contains("300 TFLOP/s measured") && !svg.contains("NaN"));
    }

    #[test]
    fn without_kernels_or_bandwidth_there_is_no_roofline() {
        assert!(roofline(&Report { kernels: Vec::new(), ..sample() }).is_none());
        assert!(roofline(&Report { bandwidth_bytes_per_second: None, ..sample() }).is_none());
        assert!(roofline(&Report { peak_flops_per_second: None, ..sample() }).is_some());
    }
}
