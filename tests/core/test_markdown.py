from napari_medcontext.core.markdown import table


def test_names_with_bars_stay_in_their_cells():
    drawn = table(["class", "DSC"], [("white|grey", 0.5)])
    assert drawn == "| class | DSC |\n| --- | --- |\n| white\\|grey | 0.5 |"
