from mmext.common.wording import counted


def test_one_has_no_s():
    assert [counted(number, 'pair') for number in (0, 1, 2, 11)] == ['0 pairs', '1 pair', '2 pairs', '11 pairs']
