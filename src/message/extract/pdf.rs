//! PDF (ISO 32000): the text of its pages as it stands there, and the values of its form fields.

use super::layout::{self, Fragment};
use super::pdf_font::{Font, number};
use super::{Found, TEXT_BYTES_MAX, Unread};
use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, Error, LoadOptions, Object, ObjectId, decode_text_string};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that one stream may unpack to.
const STREAM_BYTES_MAX: usize = 48 * 1024 * 1024;
/// Bytes that the contents of one page may unpack to.
const PAGE_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Pages that are read.
const PAGES_MAX: usize = 2_000;
/// Drawing operations that are read, of all pages together.
const OPERATIONS_MAX: usize = 3_000_000;
/// Pieces of text on one page.
const FRAGMENTS_MAX: usize = 100_000;
/// Drawings within drawings, and how many of them are read, of all pages together.
const FORMS_DEPTH_MAX: usize = 8;
const FORMS_MAX: usize = 4_000;
/// Fields of a form, and fields within fields.
const FIELDS_MAX: usize = 5_000;
const FIELD_DEPTH_MAX: usize = 20;
/// Letters on the pages below which a document with images on every page is a scan.
const SCAN_LETTERS_MAX: usize = 40;

pub(super) fn read(bytes: &[u8]) -> Result<Found, Unread> {
    let options = LoadOptions::with_max_decompressed_size(STREAM_BYTES_MAX);
    let document = match Document::load_mem_with_options(bytes, options) {
        Ok(document) => document,
        Err(
            Error::InvalidPassword | Error::Decryption(_) | Error::UnsupportedSecurityHandler(_),
        ) => {
            return Err(Unread::Locked);
        }
        Err(Error::Decompress(_)) => return Err(Unread::TooMuch),
        Err(_) => return Err(Unread::Damaged),
    };
    if document.is_encrypted() && document.encryption_state.is_none() {
        return Err(Unread::Locked);
    }
    let pages: Vec<ObjectId> = document
        .page_iter()
        .take(PAGES_MAX.saturating_add(1))
        .collect();
    if pages.is_empty() {
        return Err(Unread::Damaged);
    }
    let (fields, is_dynamic) = fields(&document);
    let mut left = Left {
        operations: OPERATIONS_MAX,
        forms: FORMS_MAX,
    };
    let mut text = String::new();
    let (mut scanned, mut broken) = (0_usize, 0_usize);
    for page in pages.iter().take(PAGES_MAX) {
        if text.len() > TEXT_BYTES_MAX || left.is_used_up() {
            break;
        }
        match page_text(&document, *page, &fields, &mut left) {
            Ok((page_text, has_image)) => {
                let letters = page_text.chars().filter(|c| c.is_alphabetic()).count();
                if has_image && letters < SCAN_LETTERS_MAX {
                    scanned = scanned.saturating_add(1);
                }
                if !text.is_empty() {
                    text.push_str("\n\n");
                }
                text.push_str(&page_text);
            }
            Err(reason) if reason == Unread::TooMuch => return Err(reason),
            Err(_) => broken = broken.saturating_add(1),
        }
    }
    let named = named_values(&fields);
    if !named.is_empty() {
        text.push_str("\n\n");
        text.push_str(&named);
    }
    let has_words = text.chars().any(char::is_alphanumeric);
    let but = if is_dynamic && named.is_empty() {
        // The pages only say that one needs another program.
        text.clear();
        Some(Unread::Unknown)
    } else if scanned > 0 {
        Some(Unread::Scanned)
    } else if broken > 0 {
        Some(Unread::Damaged)
    } else if !has_words && document.is_encrypted() {
        Some(Unread::Locked)
    } else if left.is_used_up() || pages.len() > PAGES_MAX {
        Some(Unread::TooMuch)
    } else {
        None
    };
    Ok(Found { text, but })
}

/// A field of the form that was filled in.
struct FormValue {
    /// What it is called: the tip that a person sees, else its name.
    name: String,
    value: String,
    /// Where on a page it stands.
    places: Vec<[f32; 4]>,
    page: Option<ObjectId>,
    objects: BTreeSet<ObjectId>,
}

/// The filled-in fields, and whether the form is one that only some programs can show (XFA).
fn fields(document: &Document) -> (Vec<FormValue>, bool) {
    let form = document
        .catalog()
        .and_then(|catalog| catalog.get_deref(b"AcroForm", document))
        .and_then(Object::as_dict);
    let Ok(form) = form else {
        return (Vec::new(), false);
    };
    let mut found = Vec::new();
    let roots = form
        .get_deref(b"Fields", document)
        .and_then(Object::as_array);
    let mut seen = BTreeSet::new();
    // Field, what it inherits, depth.
    let mut stack: Vec<(Object, Inherited, usize)> = roots
        .map(|roots| {
            roots
                .iter()
                .rev()
                .take(FIELDS_MAX)
                .map(|root| (root.clone(), Inherited::default(), 0))
                .collect()
        })
        .unwrap_or_default();
    while let Some((object, inherited, depth)) = stack.pop() {
        if seen.len() > FIELDS_MAX || depth > FIELD_DEPTH_MAX {
            break;
        }
        let id = object.as_reference().ok();
        if let Some(id) = id
            && !seen.insert(id)
        {
            continue;
        }
        let Ok((_, object)) = document.dereference(&object) else {
            continue;
        };
        let Ok(field) = object.as_dict() else {
            continue;
        };
        let inherited = inherited.with(field, document);
        let kids = field
            .get_deref(b"Kids", document)
            .and_then(Object::as_array);
        let value = inherited
            .value
            .as_ref()
            .and_then(|value| spoken(value, document))
            .filter(|value| !value.trim().is_empty());
        if let Ok(kids) = kids {
            let are_widgets = kids.iter().all(|kid| {
                document
                    .dereference(kid)
                    .ok()
                    .and_then(|(_, kid)| kid.as_dict().ok())
                    .is_some_and(|kid| !kid.has(b"T"))
            });
            if !are_widgets {
                for kid in kids.iter().rev().take(FIELDS_MAX) {
                    stack.push((kid.clone(), inherited.clone(), depth.saturating_add(1)));
                }
                continue;
            }
            if let Some(value) = value {
                let widgets: Vec<(Option<ObjectId>, &Dictionary)> = kids
                    .iter()
                    .take(FIELDS_MAX)
                    .filter_map(|kid| {
                        let id = kid.as_reference().ok();
                        let (_, kid) = document.dereference(kid).ok()?;
                        Some((id, kid.as_dict().ok()?))
                    })
                    .collect();
                found.push(inherited.made(value, &widgets, document));
            }
        } else if let Some(value) = value {
            found.push(inherited.made(value, &[(id, field)], document));
        }
        if found.len() >= FIELDS_MAX {
            break;
        }
    }
    (found, form.has(b"XFA"))
}

#[derive(Clone, Default)]
struct Inherited {
    name: String,
    value: Option<Object>,
    kind: Vec<u8>,
}

impl Inherited {
    fn with(mut self, field: &Dictionary, document: &Document) -> Self {
        let said = |key: &[u8]| {
            field
                .get_deref(key, document)
                .ok()
                .and_then(|object| decode_text_string(object).ok())
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        if let Some(name) = said(b"TU").or_else(|| said(b"T")) {
            self.name = name;
        }
        if let Ok(value) = field.get_deref(b"V", document) {
            self.value = Some(value.clone());
        }
        if let Ok(kind) = field.get_deref(b"FT", document).and_then(Object::as_name) {
            self.kind = kind.to_vec();
        }
        self
    }

    fn made(
        &self,
        value: String,
        widgets: &[(Option<ObjectId>, &Dictionary)],
        document: &Document,
    ) -> FormValue {
        let is_button = self.kind == b"Btn";
        let places = widgets
            .iter()
            // Of several buttons only the pressed one says something, and what, stands beside it.
            .filter(|(_, widget)| {
                !is_button
                    || widget
                        .get(b"AS")
                        .and_then(Object::as_name)
                        .is_ok_and(|state| state != b"Off")
            })
            .filter_map(|(_, widget)| {
                let rect = widget
                    .get_deref(b"Rect", document)
                    .and_then(Object::as_array)
                    .ok()?;
                let mut numbers = rect.iter().map(|one| number(one, document));
                let (x0, y0) = (numbers.next()??, numbers.next()??);
                let (x1, y1) = (numbers.next()??, numbers.next()??);
                Some([x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)])
            })
            .collect();
        FormValue {
            name: self.name.replace('_', " "),
            value: if is_button { "☒".to_owned() } else { value },
            places,
            page: widgets
                .iter()
                .find_map(|(_, widget)| widget.get(b"P").and_then(Object::as_reference).ok()),
            objects: widgets.iter().filter_map(|(id, _)| *id).collect(),
        }
    }
}

/// A field's value as text: strings, lists of them, names of pressed buttons.
fn spoken(value: &Object, document: &Document) -> Option<String> {
    match value {
        Object::String(..) => decode_text_string(value).ok(),
        Object::Name(name) if name != b"Off" => Some(String::from_utf8_lossy(name).into_owned()),
        Object::Array(values) => {
            let all: Vec<String> = values
                .iter()
                .take(100)
                .filter_map(|one| {
                    let (_, one) = document.dereference(one).ok()?;
                    decode_text_string(one).ok()
                })
                .collect();
            (!all.is_empty()).then(|| all.join(", "))
        }
        Object::Stream(stream) => {
            let bytes = stream.get_plain_content_with_limit(TEXT_BYTES_MAX).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => None,
    }
}

/// «Name: value» of every field but buttons, whose name alone says little.
fn named_values(fields: &[FormValue]) -> String {
    let lines: Vec<String> = fields
        .iter()
        .filter(|field| field.value != "☒" && !field.name.is_empty())
        .map(|field| {
            let name = field.name.trim_end_matches([':', ' ']);
            let colon = if name.ends_with('?') { "" } else { ":" };
            format!("{name}{colon} {}", field.value.trim())
        })
        .collect();
    lines.join("\n")
}

/// The text of a page in reading order, and whether an image is on it.
fn page_text(
    document: &Document,
    page: ObjectId,
    fields: &[FormValue],
    left: &mut Left,
) -> Result<(String, bool), Unread> {
    let content = document
        .get_page_content_with_limit(page, PAGE_BYTES_MAX)
        .map_err(|error| match error {
            Error::Decompress(_) => Unread::TooMuch,
            _ => Unread::Damaged,
        })?;
    let mut reader = PageReader {
        document,
        found: BTreeMap::new(),
        count: 0,
        has_image: false,
        left,
    };
    let resources = resources(document, page);
    reader.run(&content, &resources, Matrix::ONE, 0)?;
    let annotations = document.get_page_annotations(page).unwrap_or_default();
    let ids: BTreeSet<ObjectId> = annotation_ids(document, page);
    for field in fields {
        let here = field.page == Some(page) || !field.objects.is_disjoint(&ids);
        if !here {
            continue;
        }
        for [x, bottom, _, top] in &field.places {
            let height = top - bottom;
            let is_line = height < 30.0;
            let size = if is_line {
                (height * 0.65).clamp(6.0, 14.0)
            } else {
                10.0
            };
            let y = if is_line {
                bottom + (height - size) / 2.0 + size * 0.2
            } else {
                top - size
            };
            reader.add(
                0,
                Fragment {
                    x: *x,
                    y,
                    width: size,
                    size,
                    text: field.value.trim().to_owned(),
                    is_value: true,
                },
            );
        }
    }
    // Text that was typed over the page, and notes.
    for annotation in annotations.iter().take(FIELDS_MAX) {
        let subtype = annotation.get(b"Subtype").and_then(Object::as_name);
        if matches!(subtype, Ok(b"FreeText"))
            && let Ok(said) = annotation.get_deref(b"Contents", document)
            && let Ok(said) = decode_text_string(said)
            && let Ok(rect) = annotation
                .get_deref(b"Rect", document)
                .and_then(Object::as_array)
        {
            let place: Vec<f32> = rect
                .iter()
                .filter_map(|one| number(one, document))
                .collect();
            if let [x, _, _, top] = place.as_slice() {
                reader.add(
                    0,
                    Fragment {
                        x: *x,
                        y: top - 10.0,
                        width: 10.0,
                        size: 10.0,
                        text: said.trim().to_owned(),
                        is_value: true,
                    },
                );
            }
        }
    }
    let has_image = reader.has_image;
    // Text that runs in another direction than most (in the margin) goes last.
    let mut directions: Vec<Vec<Fragment>> = reader.found.into_values().collect();
    directions.sort_by_key(|fragments| std::cmp::Reverse(fragments.len()));
    let texts: Vec<String> = directions
        .iter()
        .map(|fragments| layout::text(fragments))
        .collect();
    Ok((texts.join("\n"), has_image))
}

fn annotation_ids(document: &Document, page: ObjectId) -> BTreeSet<ObjectId> {
    document
        .get_dictionary(page)
        .and_then(|page| page.get_deref(b"Annots", document))
        .and_then(Object::as_array)
        .map(|list| {
            list.iter()
                .filter_map(|one| one.as_reference().ok())
                .collect()
        })
        .unwrap_or_default()
}

/// The dictionaries in which a page finds fonts and drawings, nearest first.
fn resources(document: &Document, page: ObjectId) -> Vec<&Dictionary> {
    let Ok((direct, ids)) = document.get_page_resources(page) else {
        return Vec::new();
    };
    let referred = ids
        .iter()
        .filter_map(|id| document.get_dictionary(*id).ok());
    direct.into_iter().chain(referred).collect()
}

#[derive(Debug, Clone, Copy)]
struct Matrix([f32; 6]);

impl Matrix {
    const ONE: Self = Self([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);

    /// `self`, then `next`.
    #[expect(clippy::similar_names, reason = "rows and columns of two matrices")]
    fn then(self, next: Self) -> Self {
        let [xx, xy, yx, yy, right, up] = self.0;
        let [next_xx, next_xy, next_yx, next_yy, next_right, next_up] = next.0;
        let turned = |x: f32, y: f32| (x * next_xx + y * next_yx, x * next_xy + y * next_yy);
        let ((xx, xy), (yx, yy)) = (turned(xx, xy), turned(yx, yy));
        let (right, up) = turned(right, up);
        Self([xx, xy, yx, yy, right + next_right, up + next_up])
    }

    fn moved(self, x: f32, y: f32) -> Self {
        Self([1.0, 0.0, 0.0, 1.0, x, y]).then(self)
    }

    fn of(operands: &[Object]) -> Option<Self> {
        let numbers: Vec<f32> = operands
            .iter()
            .filter_map(|one| one.as_float().ok())
            .collect();
        <[f32; 6]>::try_from(numbers).ok().map(Self)
    }
}

/// How much may still be read of a document.
struct Left {
    operations: usize,
    forms: usize,
}

impl Left {
    const fn is_used_up(&self) -> bool {
        self.operations == 0 || self.forms == 0
    }
}

/// What decides where and how text is shown.
#[derive(Clone)]
struct State {
    matrix: Matrix,
    font: Option<Vec<u8>>,
    size: f32,
    letter_gap: f32,
    word_gap: f32,
    stretch: f32,
    leading: f32,
    rise: f32,
}

struct PageReader<'a, 'b> {
    document: &'a Document,
    /// By the direction in which it runs, in quarters of a turn.
    found: BTreeMap<u8, Vec<Fragment>>,
    count: usize,
    has_image: bool,
    left: &'b mut Left,
}

impl<'a> PageReader<'a, '_> {
    fn add(&mut self, direction: u8, fragment: Fragment) {
        if self.count < FRAGMENTS_MAX && !fragment.text.is_empty() {
            self.count = self.count.saturating_add(1);
            self.found.entry(direction).or_default().push(fragment);
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm an operator, as the standard lists them"
    )]
    fn run(
        &mut self,
        content: &[u8],
        resources: &[&'a Dictionary],
        start: Matrix,
        depth: usize,
    ) -> Result<(), Unread> {
        let document = self.document;
        let listed = font_dictionaries(document, resources);
        let bare: Vec<Dictionary> = listed
            .iter()
            .map(|(_, font)| {
                let mut bare = (*font).clone();
                bare.remove(b"Encoding");
                bare
            })
            .collect();
        let mut fonts: BTreeMap<&[u8], Option<Font<'_>>> = BTreeMap::new();
        let mut state = State {
            matrix: start,
            font: None,
            size: 1.0,
            letter_gap: 0.0,
            word_gap: 0.0,
            stretch: 1.0,
            leading: 0.0,
            rise: 0.0,
        };
        let mut saved: Vec<State> = Vec::new();
        let (mut line, mut pen) = (Matrix::ONE, Matrix::ONE);
        for operation in Content::decode_iter(content) {
            let Ok(operation) = operation else {
                // A page may end in the middle of an operation; what stands before it counts.
                break;
            };
            if self.left.is_used_up() {
                return Ok(());
            }
            self.left.operations = self.left.operations.saturating_sub(1);
            let Operation { operator, operands } = &operation;
            let number = |index: usize| {
                operands
                    .get(index)
                    .and_then(|one| one.as_float().ok())
                    .unwrap_or(0.0)
            };
            match operator.as_str() {
                "q" if saved.len() < 1_000 => saved.push(state.clone()),
                "Q" => {
                    if let Some(before) = saved.pop() {
                        state = before;
                    }
                }
                "cm" => {
                    if let Some(matrix) = Matrix::of(operands) {
                        state.matrix = matrix.then(state.matrix);
                    }
                }
                "BT" => (line, pen) = (Matrix::ONE, Matrix::ONE),
                "Tf" => {
                    state.font = operands
                        .first()
                        .and_then(|name| name.as_name().ok())
                        .map(<[u8]>::to_vec);
                    state.size = number(1);
                }
                "Tc" => state.letter_gap = number(0),
                "Tw" => state.word_gap = number(0),
                "Tz" => state.stretch = number(0) / 100.0,
                "TL" => state.leading = number(0),
                "Ts" => state.rise = number(0),
                "Td" | "TD" => {
                    if operator == "TD" {
                        state.leading = -number(1);
                    }
                    line = line.moved(number(0), number(1));
                    pen = line;
                }
                "Tm" => {
                    if let Some(matrix) = Matrix::of(operands) {
                        (line, pen) = (matrix, matrix);
                    }
                }
                "T*" => {
                    line = line.moved(0.0, -state.leading);
                    pen = line;
                }
                "Tj" | "TJ" | "'" | "\"" => {
                    if matches!(operator.as_str(), "'" | "\"") {
                        if operator == "\"" {
                            state.word_gap = number(0);
                            state.letter_gap = number(1);
                        }
                        line = line.moved(0.0, -state.leading);
                        pen = line;
                    }
                    let name = state.font.clone().unwrap_or_default();
                    let known = listed
                        .iter()
                        .zip(&bare)
                        .find(|((known, _), _)| *known == name.as_slice());
                    let Some(((key, dictionary), bare)) = known else {
                        continue;
                    };
                    let font = fonts
                        .entry(key)
                        .or_insert_with(|| Some(Font::of(dictionary, bare, document)));
                    if let Some(font) = font {
                        let shown = match operands.last() {
                            Some(Object::Array(pieces)) => pieces.as_slice(),
                            Some(one) => std::slice::from_ref(one),
                            None => &[],
                        };
                        pen = self.show(shown, font, &state, pen);
                    }
                }
                "Do" => {
                    let name = operands.first().and_then(|name| name.as_name().ok());
                    self.drawing(name.unwrap_or_default(), resources, &state, depth)?;
                }
                "BI" | "EI" | "ID" => self.has_image = true,
                _ => {}
            }
        }
        Ok(())
    }

    /// Shows strings with the moves between them; gives where the pen is then.
    fn show(&mut self, pieces: &[Object], font: &Font<'_>, state: &State, start: Matrix) -> Matrix {
        let mut pen = start;
        let mut text = String::new();
        let mut width = 0.0_f32;
        for piece in pieces {
            if let Object::String(bytes, _) = piece {
                let decoded = font.decode(bytes);
                let (ems, count, blanks) = font.width(bytes);
                let step = (ems * state.size + count * state.letter_gap + blanks * state.word_gap)
                    * state.stretch;
                text.push_str(&decoded);
                width += step;
                pen = pen.moved(step, 0.0);
            } else if let Ok(back) = piece.as_float() {
                let step = -back / 1000.0 * state.size * state.stretch;
                // A step as wide as a blank is one.
                if step > 0.18 * state.size.abs() && !text.is_empty() && !text.ends_with(' ') {
                    text.push(' ');
                }
                width += step;
                pen = pen.moved(step, 0.0);
            }
        }
        if text.trim().is_empty() {
            return pen;
        }
        let [cos, sin, up_x, up_y, ..] = start.then(state.matrix).0;
        let [.., x, y] = start.moved(0.0, state.rise).then(state.matrix).0;
        let along = cos.hypot(sin);
        let size = state.size.abs() * up_x.hypot(up_y);
        if ![x, y, along, size, width].iter().all(|one| one.is_finite()) {
            return pen;
        }
        let (direction, x, y) = if cos.abs() >= sin.abs() {
            if cos >= 0.0 { (0, x, y) } else { (2, -x, -y) }
        } else if sin > 0.0 {
            (1, y, -x)
        } else {
            (3, -y, x)
        };
        self.add(
            direction,
            Fragment {
                x,
                y,
                width: width * along,
                size: size.max(0.1),
                text,
                is_value: false,
            },
        );
        pen
    }

    fn drawing(
        &mut self,
        name: &[u8],
        resources: &[&'a Dictionary],
        state: &State,
        depth: usize,
    ) -> Result<(), Unread> {
        let document = self.document;
        let object = resources.iter().find_map(|resources| {
            resources
                .get_deref(b"XObject", document)
                .and_then(Object::as_dict)
                .and_then(|objects| objects.get_deref(name, document))
                .and_then(Object::as_stream)
                .ok()
        });
        let Some(object) = object else { return Ok(()) };
        match object.dict.get(b"Subtype").and_then(Object::as_name) {
            Ok(b"Image") => self.has_image = true,
            Ok(b"Form") if depth < FORMS_DEPTH_MAX => {
                self.left.forms = self.left.forms.saturating_sub(1);
                let content = object
                    .get_plain_content_with_limit(PAGE_BYTES_MAX)
                    .map_err(|error| match error {
                        Error::Decompress(_) => Unread::TooMuch,
                        _ => Unread::Damaged,
                    })?;
                let matrix = object
                    .dict
                    .get_deref(b"Matrix", document)
                    .and_then(Object::as_array)
                    .ok()
                    .and_then(|matrix| Matrix::of(matrix))
                    .unwrap_or(Matrix::ONE);
                let own = object
                    .dict
                    .get_deref(b"Resources", document)
                    .and_then(Object::as_dict)
                    .ok();
                let inner: Vec<&Dictionary> =
                    own.map_or_else(|| resources.to_vec(), |own| vec![own]);
                self.run(
                    &content,
                    &inner,
                    matrix.then(state.matrix),
                    depth.saturating_add(1),
                )?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Fonts by the name that the page calls them.
fn font_dictionaries<'a>(
    document: &'a Document,
    resources: &[&'a Dictionary],
) -> Vec<(&'a [u8], &'a Dictionary)> {
    let mut found: Vec<(&[u8], &Dictionary)> = Vec::new();
    for resources in resources {
        let Ok(fonts) = resources
            .get_deref(b"Font", document)
            .and_then(Object::as_dict)
        else {
            continue;
        };
        for (name, font) in fonts.iter().take(1_000) {
            let font = document
                .dereference(font)
                .ok()
                .and_then(|(_, font)| font.as_dict().ok());
            if let Some(font) = font
                && !found.iter().any(|(known, _)| known == name)
            {
                found.push((name.as_slice(), font));
            }
        }
    }
    found
}
