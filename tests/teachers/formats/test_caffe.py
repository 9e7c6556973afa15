"""Caffe files written byte by byte are read back exactly, in the new and the old form."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import TeacherError
from teachers.formats.caffe import read_caffemodel, read_mean_image
from tests.teachers.formats.caffe_writer import Layer, blob, encode_net, message, single, varint

ARRAYS = [np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.array([1.5, -2], np.float32)]


@pytest.mark.parametrize("packed", [False, True])
def test_layers_come_back(tmp_path: Path, packed: bool) -> None:
    parameters = {"kernel": 2, "stride": 3, "pad": 1}
    layers = [
        Layer("conv", "Convolution", ("data",), "conv", ARRAYS, parameters, packed),
        Layer("norm", "BatchNorm", ("conv",), "conv", [ARRAYS[1]], {"eps": 0.25}),
        Layer("pool", "Pooling", ("conv",), "pool", [], parameters, packed),
        # A layer whose code lies in a Python module: it is data here, and never imported.
        Layer("evil", "Python", ("pool",), "evil"),
    ]
    (tmp_path / "a.caffemodel").write_bytes(encode_net(layers))
    conv, norm, pool, evil = read_caffemodel(tmp_path / "a.caffemodel")
    assert (conv.name, conv.type, conv.kernel, conv.stride, conv.pad) == ("conv", "Convolution", 2, 3, 1)
    assert [array.tensor().tolist() for array in conv.blobs] == [array.tolist() for array in ARRAYS]
    assert (norm.eps, pool.kernel, pool.stride, pool.pad, evil.type) == (0.25, 2, 3, 1, "Python")


def test_old_layers_come_back_with_their_new_type_names(tmp_path: Path) -> None:
    layers = [
        Layer("conv1_1", "Convolution", ("data",), "conv", ARRAYS, {"kernel": 2}),
        Layer("fc", "InnerProduct", ("conv",), "fc", [ARRAYS[0].reshape(6, 4)]),
    ]
    (tmp_path / "a.caffemodel").write_bytes(encode_net(layers, v1=True))
    conv, linear = read_caffemodel(tmp_path / "a.caffemodel")
    assert (conv.name, conv.type, conv.kernel, linear.type) == ("conv1_1", "Convolution", 2, "InnerProduct")
    assert conv.blobs[1].shape == (1, 1, 1, 2)
    assert linear.blobs[0].tensor().tolist() == [[ARRAYS[0].reshape(6, 4).tolist()]]


def test_numbers_of_any_packing_and_width(tmp_path: Path) -> None:
    shape = message(7, message(1, varint(2)))
    alone = shape + single(5, 1.5) + single(5, -2)
    image = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    (tmp_path / "a.caffemodel").write_bytes(
        message(100, message(1, b"x") + message(7, alone) + message(7, blob(ARRAYS[1], double=True)))
    )
    (layer,) = read_caffemodel(tmp_path / "a.caffemodel")
    assert [array.tensor().tolist() for array in layer.blobs] == [[1.5, -2], [1.5, -2]]
    for content in (blob(image, old_shape=True), blob(image[None]), blob(image, double=True)):
        (tmp_path / "mean.binaryproto").write_bytes(content)
        assert np.array_equal(read_mean_image(tmp_path / "mean.binaryproto").numpy(), image)
    np.save(tmp_path / "mean.npy", image)
    assert np.array_equal(read_mean_image(tmp_path / "mean.npy").numpy(), image)


def test_faults_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.caffemodel"
    whole = encode_net([Layer("conv", "Convolution", ("data",), "conv", ARRAYS)])
    wrong = message(100, message(1, b"x") + message(7, message(7, message(1, varint(3))) + single(5, 1)))
    for content, text in (
        (whole[:-1], "not a whole Caffe model"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "not a whole Caffe model"),
        (message(1, b"name alone"), "without weights"),
        (b"", "cannot be read"),
    ):
        file.write_bytes(content)
        with pytest.raises(TeacherError, match=text) as fault:
            read_caffemodel(file)
        assert "\n" not in str(fault.value)
    file.write_bytes(wrong)
    with pytest.raises(ValueError, match="1 numbers, its shape says"):
        read_caffemodel(file)[0].blobs[0].tensor()
    np.save(tmp_path / "mean.npy", np.zeros((2, 4, 4), np.float32))
    with pytest.raises(TeacherError, match=r"expected \[3, height, width\]"):
        read_mean_image(tmp_path / "mean.npy")
