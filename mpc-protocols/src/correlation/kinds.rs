//! The one place that knows the kind of every request.

use alloc::boxed::Box;

use mpc_ring::Ring;
use mpc_transport::Traffic;

use super::dealing::{Deal, Kind, Of};
use super::layout::{CORRECTION_FRAME_BYTES, Layout};
use super::request::Request;
use crate::ProtocolError;
use crate::beaver::{BeaverTriple, SquarePair};
use crate::binary::{BitTriples, Planes};
use crate::conversion::{DaBits, EdaBits};
use crate::fixed_weights::{FixedWeightPair, FixedWeightProduct, FixedWeightShape, WeightMask};
use crate::fourier::{SeriesMask, SeriesShape};
use crate::lookup::{LookupMask, LookupShape};
use crate::maximum::{GroupMask, GroupShape};
use crate::piecewise::{PiecewiseMask, PiecewiseShape};
use crate::place::Place;
use crate::relu::ReluMask;
use crate::sign::{SignMask, SignShape};
use crate::truncation::{LiftMask, LiftShape};

/// A request's kind and shape in ring `R`.
pub(crate) fn kind<R: Ring>(request: &Request) -> Box<dyn Kind<R>> {
    kind_modulo(request, R::BITS)
}

fn kind_modulo<R: Ring>(request: &Request, width: u32) -> Box<dyn Kind<R>> {
    match *request {
        Request::Beaver(map) => of::<R, BeaverTriple<R>>(width, map),
        Request::Square { len } => of::<R, SquarePair<R>>(width, len),
        Request::WeightMask { len } => of::<R, WeightMask<R>>(width, len),
        Request::FixedWeights { mask, map } => of::<R, FixedWeightPair<R>>(width, FixedWeightShape { mask, map }),
        Request::FixedWeightsSharedInput { mask, map } => {
            of::<R, FixedWeightProduct<R>>(width, FixedWeightShape { mask, map })
        }
        Request::BitTriples { width: planes, len } => of::<R, BitTriples>(u64::BITS, Planes { width: planes, len }),
        Request::DaBits { len } => of::<R, DaBits<R>>(width, len),
        Request::EdaBits { len } => of::<R, EdaBits<R>>(width, len),
        Request::Lift { len, bits } => of::<R, LiftMask<R>>(width, LiftShape { len, bits }),
        Request::Sign { len, parameters } => of::<R, SignMask<R>>(width, SignShape { len, parameters }),
        Request::Relu { len, parameters } => of::<R, ReluMask<R>>(width, SignShape { len, parameters }),
        Request::Piecewise { len, thresholds, parameters } => {
            of::<R, PiecewiseMask<R>>(width, PiecewiseShape { sign: SignShape { len, parameters }, thresholds })
        }
        Request::Group { size, len, parameters } => of::<R, GroupMask<R>>(width, GroupShape { size, len, parameters }),
        Request::Modulo { bits, ref of } => kind_modulo(of, bits),
        Request::Lookup { len, table } => of::<R, LookupMask<R>>(width, LookupShape { len, table }),
        Request::Series { len, series } => of::<R, SeriesMask<R>>(width, SeriesShape { len, series }),
    }
}

fn of<R: Ring, C: Deal<R> + 'static>(width: u32, shape: C::Shape) -> Box<dyn Kind<R>> {
    Box::new(Of::<C> { shape, width })
}

impl Request {
    /// The fields of this correlation in ring `R`, from which everything about it follows.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] for a correlation that cannot be in that ring.
    pub fn layout<R: Ring>(&self) -> Result<Layout, ProtocolError> {
        kind::<R>(self).layout()
    }

    /// The traffic that the last party receives from the dealer for this correlation in ring `R`, apart from its seed.
    /// The others receive nothing but their seed. Zero for a correlation that cannot be: it is refused when it is dealt
    /// and drawn.
    #[must_use]
    pub fn traffic<R: Ring>(&self) -> Traffic {
        self.layout::<R>().map_or(Traffic::default(), |layout| layout.traffic())
    }

    /// About how many bytes a party holds of this correlation in ring `R` from drawing it to its use: no less than it does.
    #[must_use]
    pub fn memory<R: Ring>(&self, place: Place) -> u64 {
        self.layout::<R>().map_or(0, |layout| layout.memory(place))
    }

    /// About how many bytes a party has of this correlation in ring `R` at most while it uses it, or from its making on where
    /// two parties make it: no less than it has.
    #[must_use]
    pub fn expanded_memory<R: Ring>(&self) -> u64 {
        self.layout::<R>().map_or(0, |layout| layout.expanded_memory().max(layout.kept_bytes()))
    }

    /// About how many bytes the dealer holds at most while it deals this correlation, apart from the weight masks.
    #[must_use]
    pub fn dealer_memory<R: Ring>(&self) -> u64 {
        let kind = kind::<R>(self);
        let held = kind.layout().map_or(0, |layout| layout.expanded_memory());
        // What is kept to make the next field of it, and one copy to be corrected.
        2 * held + (kind.scratch() * R::BYTES + 2 * CORRECTION_FRAME_BYTES) as u64
    }
}
