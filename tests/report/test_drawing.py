"""What pictures share: an initializer looks the same in all of them."""

import numpy as np
import pytest

from keras_initkit.report import drawing


def test_styles_of_known_initializers_do_not_depend_on_their_company():
    alone = drawing.styles(["he_normal"])["he_normal"]
    assert drawing.styles(["mine", "zero", "he_normal"])["he_normal"] == alone
    assert drawing.styles(["zeros"])["zeros"] == drawing.styles(["zero"])["zero"]
    assert drawing.styles(["he"])["he"] == alone


def test_styles_differ_in_colour_and_without_it():
    labels = ["zero", "random", "slide_xavier", "slide_he"]
    labels += ["glorot_uniform", "he_normal"]
    labels += ["orthogonal", "lsuv", "recommended", "constant", "mine", "yours"]
    looks = drawing.styles(labels).values()
    assert len({look["color"] for look in looks}) == len(labels)
    assert len({look["marker"] for look in looks}) == len(labels)


def test_draw_depth_puts_zeros_on_a_line_below_everything():
    _, panels = drawing.new_figure()
    axes, names = panels[0, 0], ("zero", "he")
    profiles = {"zero": np.zeros((1, 3)), "he": np.array([[2.0, 1.0, 0.02]])}
    drawing.draw_depth(axes, np.arange(3), profiles, drawing.styles(names))
    zero, he = axes.lines[:2]
    np.testing.assert_allclose(zero.get_ydata(), 1e-3)
    np.testing.assert_allclose(he.get_ydata(), [2.0, 1.0, 0.02])
    assert axes.get_ylim()[0] == pytest.approx(1e-3)
    assert [text.get_text() for text in axes.texts] == ["exactly 0"]


def test_draw_intervals_draws_mean_and_student_interval():
    _, panels = drawing.new_figure()
    runs = {"he": np.array([[1.0, 4.0], [3.0, 4.0]])}
    drawing.draw_intervals(panels[0, 0], np.arange(2), runs, drawing.styles(runs))
    np.testing.assert_allclose(panels[0, 0].lines[0].get_ydata(), [2.0, 4.0])
    # t(0.975, 1 degree of freedom) = 12.706; the lower end stays at what was seen.
    band = panels[0, 0].collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(2 + 12.706204736 * 2**0.5 / 2**0.5)
    assert band[:, 1].min() == pytest.approx(1.0)


def test_draw_losses_sets_marks_side_by_side():
    _, panels = drawing.new_figure()
    curve = np.arange(40), np.linspace(2, 1, 40)
    curves = {"zero": curve, "he": curve}
    drawing.draw_losses(panels[0, 0], curves, {"zero": "from zeros", "he": "from He"})
    lines = panels[0, 0].lines
    assert [line.get_label() for line in lines] == ["from zeros", "from He"]
    assert [line.get_markevery() for line in lines] == [(0, 5), (2, 5)]


def test_complete_gives_a_legend_where_there_are_labels(tmp_path):
    figure, panels = drawing.new_figure(1, 3)
    named, bare, own = panels[0]
    drawing.draw_theory(named, [1, 2], [[1, 1], [2, 2]])
    bare.plot([1, 2])
    own.plot([1, 2], label="mine")
    kept = own.legend(ncols=2)
    assert drawing.complete(figure, tmp_path / "new" / "p.png").exists()
    assert [text.get_text() for text in named.get_legend().get_texts()] == ["theory"]
    assert bare.get_legend() is None
    assert own.get_legend() is kept


@pytest.mark.parametrize("name", ["a$b$c", r"$\frac$", "$", "_hidden", "%s{}"])
def test_names_are_no_formulas(name, tmp_path):
    figure, ((axes,),) = drawing.new_figure(1, 1)
    axes.plot([1e-30, 1e30], label=name)
    axes.set_yscale("log")
    axes.set_title(name)
    axes.legend(["line"], title=name)
    figure.suptitle(name)
    drawing.label_layers(axes, ["first", name])
    drawing.kept(figure, tmp_path / "picture.png")
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert [tick.replace(r"\$", "$") for tick in ticks] == ["first", name]
    # Powers of ten stay formulas.
    powers = [one for one in axes.get_yticklabels() if "mathdefault" in one.get_text()]
    assert powers
    assert all(one.get_parse_math() for one in powers)


def test_long_names_leave_room_for_the_picture():
    _, ((axes,),) = drawing.new_figure(1, 1)
    drawing.label_layers(axes, ["a", f"{'x' * 200}last"])
    short, long = (label.get_text() for label in axes.get_xticklabels())
    assert short == "a"
    assert len(long) == 32
    assert long.endswith("xlast")
